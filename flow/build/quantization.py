"""``--quantize``: a float model becomes one of NMP layers before the build, with formats chosen after training."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.build.facts import Quantization
from flow.build.options import QUANTIZED, Options
from flow.build.state import ModelFile, Score
from flow.core.design import Design
from flow.core.errors import DataError, ModelError, UsageError, reason
from flow.core.remarks import Remark, note, warning
from flow.extract.float_model import float_chain
from flow.extract.formats import AUTO
from flow.extract.load import choose_backend
from flow.extract.quiet import quiet
from flow.extract.test_data import Preparation, TestPart
from flow.files import plan
from keras_models.data.loaders import Dataset

ASSUMED = "s16.10"  # of inputs that nothing is known of: hls4ml's default, ap_fixed<16,6>
MAX_INPUT_BITS = 16
_ROWS = 2048  # of normal inputs where there are no others


class QuantizedFile(ModelFile):
    """A float model's file, quantized: what the build is made of from here on.

    Raises ModelError for a model that is not of floats, or not of dense layers; DataError for data that do not fit it.
    """

    def __init__(self, options: Options, dataset: Dataset | None, preparation: Preparation) -> None:
        super().__init__(options.model)
        self.is_onnx = False  # from here on it is a Keras model
        self.dataset, self.preparation = dataset, preparation
        self.chain = float_chain(self.path, options.form == "streamed")
        given = None if options.input_format == AUTO else options.input_format  # formats are chosen from data anyway
        self.format = given or (None if dataset else ASSUMED)
        said = [
            f" quantize 2 {options.form} {self.format} {preparation.text}",
            *([] if dataset is None else _digests(dataset)),
        ]
        self.digest += " ".join(said)

    @cached_property
    def quantized(self) -> Any:
        """The chain with its formats, `keras_models.quantize.calibrate.Quantized`."""
        choose_backend(needs_qkeras=False)
        with quiet():  # all of it: Keras imports TensorFlow where it first looks for its types
            return self._chosen()

    def _chosen(self) -> Any:
        from keras_models.quantize.calibrate import Calibration, choose
        from keras_models.quantize.judge import Judged, unchanged

        given = None if self.format is None else _signals(self.format, self.chain.signal_widths[0])
        try:
            if self.dataset is None:
                calibration = Calibration(self.chain, _normal(self.chain.inputs), given, exact=True)
                self._narrowed = calibration.narrowed
                return choose(calibration)
            judged = Judged.of(self.dataset, self.chain, self.preparation.applied or unchanged(self.dataset))
            return choose(Calibration(self.chain, judged.parts["train"][0], given), judged.good_enough(self.chain))
        except ValueError as exc:  # the data module's errors are ValueErrors too
            raise (DataError if self.dataset else ModelError)(reason(exc)) from None

    def keras(self) -> Any:
        """The quantized model."""
        if self._loaded is None:
            quantized = self.quantized
            with quiet():
                from keras_models.quantize.build import nmp_model  # imports Keras

                self._loaded = nmp_model(quantized)
        return self._loaded

    def design(self, options: Options) -> Design:
        """The finished design of the quantized model. Raises ModelError where nothing is left to stream."""
        if options.form == "streamed" and all(layer.windows is None for layer in self.chain.layers):
            raise ModelError(
                f"{self.path} has no convolution to stream that does the same at every position: leave --architecture "
                "streaming out"
            )
        return super().design(replace(options, input_format=None))

    def save(self, folder: Path) -> None:
        """Write the quantized model into ``folder``, with the preprocessing of its inputs."""
        from keras_models.training.output import save_model

        with tempfile.TemporaryDirectory(prefix="flow-quantized-") as name:
            with quiet():
                save_model(Path(name) / QUANTIZED, self.keras(), self.preparation.applied)
            plan.write_file(folder / QUANTIZED, (Path(name) / QUANTIZED).read_bytes())

    def float_score(self, test: TestPart) -> dict[str, Any]:
        """The float model's score on the test part, of its logits in float64."""
        return test.score(self.chain.logits(np.asarray(test.inputs, np.float64)), "logits")

    def facts(self, test: TestPart | None) -> Quantization:
        """``quantization`` of the report."""
        layers = self.quantized.layers
        signals = [layer.output.bits for layer in layers if layer.output is not None]
        return Quantization(
            method="post-training",
            calibrated_on="normal inputs" if self.dataset is None else self.dataset.name,
            input_format=self.format,
            noise=self.quantized.noise,
            mean_weight_bits=round(_mean([layer.weight_bits for layer in layers]), 4),
            mean_activation_bits=round(_mean(signals), 4) if signals else None,
            mean_input_bits=round(_mean([self.quantized.inputs.bits]), 4),
            float_score=None if test is None else self.float_score(test),
        )

    def remarks(self, facts: Quantization, score: Score | None) -> list[Remark]:
        """What console and report say of it; ``score`` is the quantized model's."""
        text = f"the float model was quantized after training (--quantize): on average {facts.mean_weight_bits:.2f} "
        text += f"weight bits, {facts.mean_input_bits:.2f} input bits"
        if facts.mean_activation_bits is not None:
            text += f", {facts.mean_activation_bits:.2f} activation bits"
        own, said = facts.float_score, []
        if own is not None and score is not None:
            text += f"; {own['metric']} {own['value']:.6g} as floats, {score.value:.6g} quantized"
        else:
            text += "; what that costs is not known without --data"
        said.append(warning(text))
        if self.dataset is None:
            said.append(warning(self._assumptions()))
        if self.chain.left_out:
            said.append(note(f"the {self.chain.left_out} at the end is left out: the design ends in its logits"))
        return [*said, *map(note, self.chain.notes)]

    def _assumptions(self) -> str:
        given = "as asked for" if self.format != ASSUMED else "as hls4ml takes them by default"
        text = f"without --data formats come from exact ranges: inputs are {self.format}, {given}"
        narrowed = getattr(self, "_narrowed", 0)
        return text + (f"; {narrowed} signals saturate beyond 256 times what normal inputs reach" if narrowed else "")


def _mean(parts: list[NDArray[np.float64]]) -> float:
    return float(np.concatenate(parts).mean())


def _signals(text: str, count: int) -> Any:
    from flow.extract import parse_format
    from keras_models.quantize.calibrate import Signals

    found = parse_format(text)
    if found.bits > MAX_INPUT_BITS:
        raise UsageError(f"--input-format {text}: quantized models take inputs of at most {MAX_INPUT_BITS} bits")
    columns = np.ones(count)
    return Signals(found.bits * columns, (found.bits - found.signed - found.frac) * columns, found.signed * columns > 0)


def _normal(count: int) -> NDArray[np.float64]:
    """Inputs as standardised data have them."""
    return np.random.default_rng(0).normal(size=(_ROWS, count))


def _digests(dataset: Dataset) -> list[str]:
    return [hashlib.sha256(part.tobytes()).hexdigest() for name in ("train", "val") for part in dataset.part(name)]
