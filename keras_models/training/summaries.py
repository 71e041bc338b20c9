"""TensorBoard summaries of a run, written without TensorFlow."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from keras_models.layers.widths import Histogram

PNG_SIZE = slice(16, 24)  # width and height in a PNG's first chunk


class Summaries:
    """Context manager that writes one event file in ``folder``; steps are epochs.

    The first epoch written takes back all that earlier files of the folder hold from that epoch on, so a run that goes
    on after a kill shows every epoch once.
    """

    def __init__(self, folder: Path) -> None:
        self.writer = EventFileWriter(str(folder))
        self._started = False

    def __enter__(self) -> Summaries:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def epoch(self, row: Mapping[str, float], widths: Mapping[str, Histogram]) -> None:
        """An epoch's metrics as scalars and the neurons by width as histograms."""
        if not self._started:
            start = SessionLog(status=SessionLog.START)
            self.writer.add_event(Event(wall_time=time.time(), step=int(row["epoch"]), session_log=start))
            self._started = True
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()
                  if name != "epoch" and math.isfinite(value)]  # fmt: skip
        values += [Summary.Value(tag=f"widths/{name}", histo=_proto(counts)) for name, counts in widths.items()]
        self._add(values, int(row["epoch"]))

    def pictures(self, pictures: Mapping[str, bytes], epoch: int) -> None:
        """PNG files as images."""
        values = []
        for name, png in pictures.items():
            width, height = (int(n) for n in np.frombuffer(png[PNG_SIZE], ">u4"))
            image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
            values.append(Summary.Value(tag=f"pictures/{name}", image=image))
        self._add(values, epoch)

    def _add(self, values: list[Summary.Value], epoch: int) -> None:
        self.writer.add_event(Event(wall_time=time.time(), step=epoch, summary=Summary(value=values)))
        self.writer.flush()


def _proto(counts: Histogram) -> HistogramProto:
    widths = sorted((float(width), count) for width, count in counts.items())
    values, weights = (np.asarray(column, np.float64) for column in zip(*widths, strict=True))
    return HistogramProto(
        min=values[0], max=values[-1], num=weights.sum(), sum=(values * weights).sum(),
        sum_squares=(values**2 * weights).sum(), bucket_limit=list(values + 0.25), bucket=list(weights),
    )  # fmt: skip
