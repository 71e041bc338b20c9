"""The Verilog of a build as a function of inputs: a Verilator model that rows are streamed through."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from flow.bench import vectors
from flow.bench.description import from_json
from flow.core.errors import DataError
from flow.core.fixed import Ints
from flow.core.untrusted import MAX_JSON, MAX_OWN_JSON, read_text, refused
from flow.files import plan
from flow.tools.verilator import Model
from flow.verify import simulate


class RtlModel:
    """The Verilog as it lay in the build's folder when this was made; what becomes of the folder changes nothing.

    ``place`` is a private folder for models and runs.
    """

    def __init__(self, build: Path, place: Path) -> None:
        self._build, self._place = build.resolve(), place.resolve()
        self._files = self._read()
        self._bench = from_json(self._files["sim/bench.json"])
        self._model: Model | None = None

    def _read(self) -> dict[str, str]:
        with refused(DataError, f"the Verilog in {self._build}", "build again"):
            bench = read_text(self._build / "sim" / "bench.json", MAX_JSON)
            sources = from_json(bench).sources
            return {
                "sim/bench.json": bench,
                **{name: read_text(self._build / name, MAX_OWN_JSON) for name in sources},
            }

    def outputs(self, blocks: Iterable[Ints]) -> Ints:
        """What the hardware answers (rows x outputs) to input mantissas (rows x inputs), which come in blocks.

        One block is simulated while the next is made. The first call takes the build's own model or, where that has
        none, some seconds to make one. Raises ToolNotFound without Verilator or a C++ compiler, ToolFailed where the
        model breaks its protocol.
        """
        bench, model = self._bench, self._ready()

        def simulated(packed: vectors.Words) -> Ints:
            return vectors.unpack(simulate.native_outputs(bench, packed, self._place / "run", model), bench.outputs)

        found = [np.zeros((0, len(bench.outputs)), np.int64)]
        running: Future[Ints] | None = None
        with ThreadPoolExecutor(1) as pool:
            for mantissas in blocks:
                packed = vectors.pack(mantissas, bench.inputs)
                if running is not None:
                    found.append(running.result())
                running = pool.submit(simulated, packed)
            if running is not None:
                found.append(running.result())
        return np.concatenate(found)

    def _ready(self) -> Model:
        if self._model is None:
            own = self._build / "sim" / "verilator" / "model" / "model" / "simulate"
            if own.is_file() and self._read() == self._files:
                self._model = Model(own, 0.0, False)
            else:
                plan.write(self._files, self._place)
                self._model = simulate.build_verilator(self._bench, self._place, self._place / "model")
        return self._model
