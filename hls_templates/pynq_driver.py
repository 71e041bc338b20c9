"""Driver of the accelerator on a PYNQ board: NumPy arrays in, predictions out, never silent garbage.

    from driver import Accelerator
    accelerator = Accelerator.load()      # the folder with this file: accelerator.json, the .bit and the .hwh
                                          # load(driver="plain") needs no PYNQ: fpga_manager and /dev/mem, as root
    accelerator.self_test()               # vectors with known results, exactly
    accelerator.predict(X)                # X in the data's own units: preprocessing and scaling are the model's own

X is an array (rows, features) or, where the model was trained on a table, also a data frame, a mapping of columns or a
list of rows as mappings, with the table's own column names, texts and missing values.

Everything that can go wrong raises an AcceleratorError that says what and where: a wrong bitstream, a stalled or short
transfer, a DMA error, TLAST in the wrong place. After an error the hardware is reset and can be used again. Needs only
NumPy and, on the board, pynq, or root and Linux' fpga_manager; runs on Python 3.8 and newer. As a program,
``python3 driver.py --driver plain``, it loads the bitstream and runs the self test.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import mmap
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SMALLEST_NORMAL = 2.0**-126  # of float32
MAX_TRANSFER_BYTES = (1 << 26) - 1  # length registers of either DMA
MAX_VECTORS = 4096  # of a transfer
# Registers of the accelerator.
MAGIC, VERSION, DIGEST, CONTROL, ERRORS, PACKET, COUNTERS = 0x00, 0x04, 0x20, 0x40, 0x48, 0x4C, 0x50
ERROR_TEXTS = (
    "a packet ended inside a vector",
    "a packet had fewer vectors than announced",
    "TLAST did not come with the announced last vector",
    "TKEEP left out a data byte",
    "the core gave a result without a vector",
)
# Windows onto the streams, where Vivado made no DMA: what did not go through, beats, and beats that end a packet.
WINDOWS, BEATS, LAST_BEATS = 0x1000, 0x8000, 0xC000
# Registers of the small DMA beside the windows, relative to where the model says; it reaches memory by 8 bytes.
OWN_STATUS, OWN_SOURCE, OWN_SOURCE_WORDS, OWN_TARGET, OWN_TARGET_WORDS = 0x00, 0x04, 0x08, 0x0C, 0x10
OWN_START, OWN_STOP, OWN_BUSY, OWN_COMPLETE, OWN_IDENTITY = 1, 2, 1, 2, 0x444D
OWN_ERRORS = {4: "memory refused a read of vectors", 8: "memory refused a write of results"}
UNIT = 8
WINDOW_TEXTS = ("a write found no room in time and was dropped", "a read found no result in time")
# A Zynq-7000's system registers (UG585): lock keys, IO PLL, FCLK0 and the resets that go to the logic.
SLCR, LOCK, UNLOCK, IO_PLL, FCLK0, LOGIC_RESET = 0xF8000000, 0x004, 0x008, 0x108, 0x170, 0x240
LOCK_KEY, UNLOCK_KEY = 0x767B, 0xDF0D
BOARD_CLOCK_MHZ = 50.0  # of the processor on PYNQ-Z1 and PYNQ-Z2
# Registers of one AXI DMA channel (simple mode), relative to its base.
SEND, RECEIVE = 0x00, 0x30
DMA_CONTROL, DMA_STATUS, DMA_ADDRESS, DMA_LENGTH = 0x00, 0x04, 0x18, 0x28
RUN, RESET = 1, 4
HALTED, IDLE, DMA_ERRORS = 1, 2, 0x70
_NAMES = {SEND: "memory to accelerator", RECEIVE: "accelerator to memory"}


class AcceleratorError(RuntimeError):
    """What went wrong between this program and the accelerator."""


class WrongBitstream(AcceleratorError):
    """The logic on the chip is not the accelerator that this driver was built with."""


class TransferTimeout(AcceleratorError):
    """A transfer or a reset did not end in time."""


class ShortTransfer(AcceleratorError):
    """Fewer bytes came back than the vectors' results have."""


class DmaError(AcceleratorError):
    """The DMA engine noted an error."""


class StreamError(AcceleratorError):
    """The accelerator saw a malformed packet, or did not see what was sent."""


class SelfTestFailed(AcceleratorError):
    """A vector with a known result gave another one."""


def read_rows(source: Any, schema: dict[str, Any] | None) -> np.ndarray:
    """Features (rows, features), NaN where a value is missing, of rows as people have them; ``schema`` says what the
    columns are, None that ``source`` is an array of numbers.
    """
    if schema is None:
        return np.asarray(source)
    names, texts = schema["features"], dict(schema["levels"])
    if isinstance(source, Sequence) and len(source) and all(isinstance(row, Mapping) for row in source):
        columns = {name: [row.get(name) for row in source] for name in {name for row in source for name in row}}
    elif isinstance(source, Mapping) or (hasattr(source, "columns") and hasattr(source, "__getitem__")):
        columns = {name: source[name] for name in (source if isinstance(source, Mapping) else source.columns)}
    else:
        X = np.asarray(source)
        if X.ndim != 2 or X.shape[1] != len(names):
            raise ValueError(f"expected (rows, {len(names)}) features, got shape {X.shape}")
        if X.dtype.kind in "fiu":
            return X
        columns = {name: X[:, i] for i, name in enumerate(names)}
    absent = [name for name in names if name not in columns]
    if absent:
        raise ValueError(f"there is no column {absent[0]!r} (the model's features are {', '.join(names)})")
    found = [_read_column(columns[name], texts.get(i), name, schema) for i, name in enumerate(names)]
    return np.stack(found, axis=1)


def _read_column(column: Any, levels: list[str] | None, name: str, schema: dict[str, Any]) -> np.ndarray:
    """A column's numbers, or the places of its texts among the levels: -1 for others, NaN where missing."""
    if levels is None and not isinstance(column, list) and np.asarray(column).dtype.kind in "fiu":
        return np.asarray(column, np.float64)
    places = {level: float(place) for place, level in enumerate(levels or ())}
    found = np.full(len(column), np.nan)
    for row, cell in enumerate(column if isinstance(column, list) else _plain(np.asarray(column))):
        text = "" if cell is None else str(cell).strip()
        if text.lower() in schema["missing"] or not text:
            continue
        try:
            found[row] = places.get(text, -1.0) if levels is not None else float("x" if "_" in text else text)
        except ValueError:
            what = f"column {name!r} holds {text!r:.40} in row {row}"
            raise ValueError(f"{what}, where the model takes numbers") from None
    return found


def _plain(values: np.ndarray) -> list[Any]:
    if values.dtype.kind == "f":  # whole numbers as they are written
        return [int(value) if value.is_integer() else value for value in values.tolist()]
    return values.astype(str).tolist() if values.dtype.kind == "M" else values.tolist()


class Mapped:
    """Registers in the processor's memory, word by word, by way of /dev/mem; Linux lets root do this."""

    def __init__(self, base: int, size: int, device: str = "/dev/mem") -> None:
        handle = os.open(device, os.O_RDWR | os.O_SYNC)
        try:
            self._words = np.frombuffer(mmap.mmap(handle, size, offset=base), np.uint32)
        finally:
            os.close(handle)

    def read(self, offset: int) -> int:
        """A register."""
        return int(self._words[offset >> 2])

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        self._words[offset >> 2] = value


class Block:
    """A part of a u-dma-buf's memory, as ``pynq.allocate`` gives one; it is mapped past the processor's caches."""

    def __init__(self, data: np.ndarray, physical_address: int) -> None:
        self._data, self.physical_address = data, physical_address

    def __setitem__(self, place: slice, data: np.ndarray) -> None:
        self._data[place] = data

    def __getitem__(self, place: slice) -> np.ndarray:
        return self._data[place]

    def flush(self) -> None:
        """Nothing to do without caches."""

    def invalidate(self) -> None:
        """Nothing to do without caches."""


class UDmaBuf:
    """Memory that the logic reaches, of the kernel module u-dma-buf. ``find`` gives the first there is."""

    def __init__(self, device: Path, physical_address: int, size: int) -> None:
        handle = os.open(str(device), os.O_RDWR | os.O_SYNC)  # without caches
        try:
            self._data = np.frombuffer(mmap.mmap(handle, size), np.uint8)
        finally:
            os.close(handle)
        self._address, self.size, self._used = physical_address, size, 0

    @classmethod
    def find(cls, root: Path = Path("/")) -> UDmaBuf | None:
        """The first u-dma-buf of this system, None where there is none."""
        for kind in ("u-dma-buf", "udmabuf"):  # the second in its older versions
            for about in sorted((root / "sys/class" / kind).glob("*")):
                address, size = int((about / "phys_addr").read_text(), 0), int((about / "size").read_text())
                return cls(root / "dev" / about.name, address, size)
        return None

    def vectors(self, bytes_each: int) -> int:
        """How many vectors with their results it holds, of so many bytes together."""
        return max(0, self.size - 2 * UNIT) // bytes_each

    def allocate(self, size: int) -> Block:
        """A part of it. Raises AcceleratorError where it is too small."""
        start = self._used
        self._used = -(-(start + size) // UNIT) * UNIT
        if self._used > self.size:
            raise AcceleratorError(f"the u-dma-buf of {self.size} bytes is too small; fewer max_vectors need less")
        return Block(self._data[start : start + size], self._address + start)


def load_plain(binary: Path, clock_mhz: float, root: Path = Path("/"), system: Any = None) -> None:
    """Load a .bin by Linux' fpga_manager, then set the logic's clock FCLK0 and reset it.

    ``clock_mhz`` is not exceeded. ``root`` is where the system's files lie, ``system`` its registers. Raises
    AcceleratorError where the kernel has no fpga_manager for it or does not take the bitstream.
    """
    manager, firmware = root / "sys/class/fpga_manager/fpga0", root / "lib/firmware"
    if not (manager / "firmware").exists():
        raise AcceleratorError(f"{manager}/firmware is not there: this kernel loads no bitstream that way; use PYNQ")
    firmware.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(binary, firmware / binary.name)
    (manager / "flags").write_text("0\n")  # the whole device
    (manager / "firmware").write_text(f"{binary.name}\n")
    state = (manager / "state").read_text().strip()
    if state != "operating":
        raise AcceleratorError(f"fpga_manager did not take {binary}: its state is {state!r}")
    system = Mapped(SLCR, 0x1000) if system is None else system
    pll_mhz = BOARD_CLOCK_MHZ * (system.read(IO_PLL) >> 12 & 0x7F)
    first, second = divisors(pll_mhz, clock_mhz)
    system.write(UNLOCK, UNLOCK_KEY)
    system.write(FCLK0, second << 20 | first << 8)
    system.write(LOGIC_RESET, system.read(LOGIC_RESET) | 1)
    system.write(LOGIC_RESET, system.read(LOGIC_RESET) & ~1)
    system.write(LOCK, LOCK_KEY)


def divisors(pll_mhz: float, clock_mhz: float) -> tuple[int, int]:
    """Two divisors of 1 to 63 for a clock that is not above ``clock_mhz``."""
    whole = math.ceil(pll_mhz / clock_mhz * (1 - 1e-9))
    second = -(-whole // 63)
    return -(-whole // second), second


class Accelerator:
    """The accelerator behind an AXI DMA, or behind windows in the processor's memory that may have a small DMA beside
    them. ``load`` makes one on the board.

    ``core`` and ``dma`` have ``read(offset)`` and ``write(offset, value)``; ``allocate(bytes)`` gives an array of bytes
    that the DMA can reach, with ``physical_address``, ``flush`` and ``invalidate``. Windows need ``core`` alone; the
    small DMA is used where there is ``allocate`` too.
    """

    def __init__(
        self, model: dict[str, Any], core: Any, dma: Any = None, allocate: Callable[[int], Any] | None = None,
        timeout_s: float = 5.0, max_vectors: int = MAX_VECTORS,
    ) -> None:  # fmt: skip
        self.model, self.core, self.dma, self.timeout_s = model, core, dma, timeout_s
        layout = model["layout"]
        self.in_bytes, self.out_bytes = int(layout["in_bytes"]), int(layout["out_bytes"])
        self.max_vectors = max(1, min(max_vectors, MAX_TRANSFER_BYTES // max(self.in_bytes, self.out_bytes)))
        own = model.get("windows", {}).get("dma") if allocate is not None else None
        self._own: int | None = None if own is None else int(own)
        self._check_bitstream()
        if allocate is not None:
            self._source = allocate(self.max_vectors * self.in_bytes)
            self._target = allocate(self.max_vectors * self.out_bytes)
        self._lock = threading.Lock()
        self._selftest: dict[str, Any] | None = None
        self.recover()

    @classmethod
    def load(cls, folder: str | Path | None = None, driver: str = "pynq", **options: Any) -> Accelerator:
        """Load the bitstream that lies in ``folder`` (by default beside this file) and check that it is ours.

        ``driver`` is ``pynq``, or ``plain`` for a Linux without PYNQ, where the bitstream has windows.
        """
        place = Path(folder) if folder is not None else Path(__file__).resolve().parent
        model = json.loads((place / "accelerator.json").read_text())
        windows = model.get("windows")
        if driver not in ("pynq", "plain"):
            raise AcceleratorError(f"there is no driver {driver!r}; choose pynq or plain")
        if driver == "plain" and not windows:
            raise AcceleratorError("this bitstream has a DMA, which driver='plain' cannot use; use pynq")
        bitstream = place / model["bitstream"]
        needed = [bitstream.with_suffix(".bin")] if driver == "plain" else [bitstream, bitstream.with_suffix(".hwh")]
        if not all(path.is_file() for path in needed):
            how = "build with --bitstream" if windows else "make them with block_design.tcl"
            names = " or its ".join([str(needed[0]), *(path.suffix for path in needed[1:])])
            raise AcceleratorError(f"{names} is not there; {how}")
        if driver == "plain":
            load_plain(needed[0], windows["clock_mhz"])
            made = cls._plain(model, options)
        else:
            made = cls._with_pynq(model, bitstream, options)
        made._selftest = json.loads((place / "selftest.json").read_text())
        return made

    @classmethod
    def _plain(cls, model: dict[str, Any], options: dict[str, Any]) -> Accelerator:
        windows, layout = model["windows"], model["layout"]
        core = Mapped(windows["base"], windows["bytes"])
        memory = UDmaBuf.find() if "dma" in windows else None
        room = memory.vectors(layout["in_bytes"] + layout["out_bytes"]) if memory else 0
        if memory and room:
            options = {**options, "max_vectors": min(options.get("max_vectors", MAX_VECTORS), room)}
            return cls(model, core, None, memory.allocate, **options)
        if "dma" in windows:
            print("no u-dma-buf that holds a vector: the processor moves every word itself, which is slower")
        return cls(model, core, **options)

    @classmethod
    def _with_pynq(cls, model: dict[str, Any], bitstream: Path, options: dict[str, Any]) -> Accelerator:
        import pynq

        overlay = pynq.Overlay(str(bitstream))
        try:
            core = getattr(overlay, model["core"])
            dma = None if model.get("windows") else getattr(overlay, model["dma"])
        except AttributeError as error:
            raise WrongBitstream(f"{bitstream} is not an overlay of this accelerator: {error}") from None
        if dma is None and "dma" not in model["windows"]:
            return cls(model, core, **options)
        return cls(model, core, dma, lambda size: pynq.allocate((size,), np.uint8), **options)

    def predict(self, X: Any) -> np.ndarray:
        """Predictions for rows of features in the data's own units.

        Labels as `classify` gives them where the accelerator ends in argmax; otherwise real-valued outputs (rows x
        outputs), in the targets' own unit where the model was trained on standardised ones.
        """
        outputs = self.infer(self.quantize(self.preprocess(X)))
        if self.model["head"] == "argmax":
            return self._labels(outputs[:, 0])
        values = outputs * np.array([2.0 ** -o["frac"] for o in self.model["outputs"]]) * self.model["units"][1]
        preprocessing = self.model["preprocessing"] or {}
        if preprocessing.get("target_mean"):
            values = values * np.array(preprocessing["target_std"]) + np.array(preprocessing["target_mean"])
        return values

    def classify(self, X: Any) -> np.ndarray:
        """The label of each row, as in the data; the class's number where the build knew no labels.

        It is the class of the largest output, the first one on a tie; of a single output, whether it is > 0.
        """
        outputs = self.infer(self.quantize(self.preprocess(X)))
        if self.model["head"] == "argmax":
            return self._labels(outputs[:, 0])
        fracs = [int(o["frac"]) for o in self.model["outputs"]]
        if len(fracs) == 1:
            return self._labels((outputs[:, 0] > 0).astype(np.int64))
        shifts = [max(fracs) - f for f in fracs]
        if max(int(o["bits"]) + max(fracs) - int(o["frac"]) for o in self.model["outputs"]) > 62:
            return self._labels(
                np.argmax(outputs.astype(object) << np.array(shifts, object), axis=1)
            )  # int64 would wrap
        return self._labels(np.argmax(outputs << np.array(shifts, np.int64), axis=1))

    def _labels(self, classes: np.ndarray) -> np.ndarray:
        known = self.model.get("class_names")
        if known:
            return np.array(known, str)[classes]
        known = self.model.get("classes")
        return np.array(known, np.int64)[classes] if known else classes

    def preprocess(self, X: Any) -> np.ndarray:
        """Model inputs from features in the data's own units; unchanged where the model has no preprocessing."""
        about = self.model["preprocessing"]
        X = read_rows(X, about.get("schema") if about else None)
        features = about["features"] if about else len(self.model["inputs"])
        if X.ndim != 2 or X.shape[1] != features:
            raise ValueError(f"expected (rows, {features}) features, got shape {X.shape}")
        if not about:
            return np.asarray(X, np.float64)
        values = X[:, about["numeric"]].astype(np.float64)
        if about.get("fill"):
            values = np.where(np.isnan(values), np.array(about["fill"]), values)
        log, clip = np.array(about["log"], bool), np.array(about["clip"], bool)
        values[:, log] = np.sign(values[:, log]) * np.log1p(np.abs(values[:, log]))
        values = (values - np.array(about["mean"])) * np.array(about["scale"])
        values[:, clip] = np.clip(values[:, clip], about["low"], about["high"])
        blocks = [values.astype(np.float32)]  # what the model was trained on
        for column, levels in about["categorical"]:
            blocks.append((X[:, column : column + 1] == np.array(levels)).astype(np.float32))
        blocks += [np.isnan(X[:, column : column + 1]).astype(np.float32) for column in about.get("flags", ())]
        return np.concatenate(blocks, axis=1)

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """The integers that enter the accelerator, from model inputs: each in its own format, rounding and range.

        Model inputs are read as the model reads them: as float32, what is smaller than its normal numbers as 0.
        Infinities saturate; ValueError where an input is not a number or, where it wraps, infinite.
        """
        with np.errstate(over="ignore"):
            values = np.asarray(values, np.float32)
        values = np.where(np.abs(values) < SMALLEST_NORMAL, np.float32(0), values)
        with np.errstate(over="ignore", under="ignore"):  # as the model divides, in float32
            values = (values / np.float32(self.model["units"][0])).astype(np.float64)
        if np.isnan(values).any():
            row, column = (int(i[0]) for i in np.nonzero(np.isnan(values)))
            raise ValueError(f"row {row}, model input {column} is not a number")
        inputs = self.model["inputs"]
        low, high = (np.array([q[key] for q in inputs], np.int64) for key in ("low", "high"))
        overflow = np.array([q.get("overflow", "SAT") for q in inputs])
        if np.isinf(values[:, overflow != "SAT"]).any():
            raise ValueError("an infinite model input has no place in a format that wraps")
        # Exact: float32 values times powers of two of at most 256 stay float64 numbers; no range goes beyond 2**62.
        scaled = values * np.array([2.0 ** q["frac"] for q in inputs])
        scaled = np.where(overflow == "RELU_WRAP", np.maximum(scaled, 0.0), scaled)
        if (overflow != "SAT").any():  # by whole turns of the format, which no rounding sees
            turned = np.fmod(np.where(overflow == "SAT", 0.0, scaled), high.astype(np.float64) - low + 1)
            scaled = np.where(overflow == "SAT", scaled, turned)
        scaled = np.clip(scaled, -(2.0**62), 2.0**62)
        floor = np.floor(scaled)
        rest = scaled - floor
        rounding = np.array([q["rounding"] for q in inputs])
        up = (rounding == "RND") & (rest >= 0.5)
        up |= (rounding == "RND_CONV") & ((rest > 0.5) | ((rest == 0.5) & (floor % 2 == 1)))
        whole = floor.astype(np.int64) + up
        wrapped = whole & high - low
        wrapped -= np.where(wrapped > high, high - low + 1, 0)
        return np.where(overflow == "SAT", np.clip(whole, low, high), wrapped)

    def infer(self, mantissas: np.ndarray) -> np.ndarray:
        """Integer outputs (rows x outputs) for integer inputs (rows x inputs), in transfers of ``max_vectors``."""
        mantissas = np.asarray(mantissas)
        if mantissas.ndim != 2 or mantissas.shape[1] != len(self.model["inputs"]) or mantissas.dtype.kind not in "iu":
            wanted = f"expected (rows, {len(self.model['inputs'])}) integers"
            raise ValueError(f"{wanted}, got shape {mantissas.shape} of {mantissas.dtype}")
        mantissas = mantissas.astype(np.int64)  # the board's own integers have 32 bits
        low, high = (np.array([q[key] for q in self.model["inputs"]], np.int64) for key in ("low", "high"))
        if ((mantissas < low) | (mantissas > high)).any():
            raise ValueError("an integer input is outside its range; use quantize")
        parts = [np.zeros((0, len(self.model["outputs"])), np.int64)]
        for start in range(0, len(mantissas), self.max_vectors):
            rows = mantissas[start : start + self.max_vectors]
            parts.append(self.unpack(self._transfer(self.pack(rows), len(rows))))
        return np.concatenate(parts)

    def self_test(self) -> int:
        """Run the vectors that were shipped with their results; gives their number."""
        if self._selftest is None:
            raise AcceleratorError("no self test was loaded; use Accelerator.load")
        expected = np.array(self._selftest["expected"], np.int64)
        outputs = self.infer(np.array(self._selftest["inputs"], np.int64))
        wrong = np.argwhere(outputs != expected)
        if len(wrong):
            row, column = wrong[0]
            values = f"expected {expected[row, column]}, got {outputs[row, column]}"
            raise SelfTestFailed(f"vector {row}, output {column}: {values}; {len(wrong)} values differ")
        return len(expected)

    def pack(self, mantissas: np.ndarray) -> np.ndarray:
        """Vectors as the bytes of the stream (rows x in_bytes)."""
        lane = self.model["layout"]["in_type"]
        if lane:
            data = np.ascontiguousarray(mantissas.astype("<" + lane)).view(np.uint8).reshape(len(mantissas), -1)
        else:
            widths = [q["bits"] for q in self.model["inputs"]]
            bits = [(mantissas[:, i : i + 1] >> np.arange(width)) & 1 for i, width in enumerate(widths)]
            data = np.packbits(np.concatenate(bits, axis=1).astype(np.uint8), axis=1, bitorder="little")
        return np.pad(data, ((0, 0), (0, self.in_bytes - data.shape[1])))

    def unpack(self, data: np.ndarray) -> np.ndarray:
        """Results from the bytes of the stream (rows x out_bytes)."""
        lane, outputs = self.model["layout"]["out_type"], self.model["outputs"]
        if lane:
            width = np.dtype(lane).itemsize * len(outputs)
            return np.ascontiguousarray(data[:, :width]).view("<" + lane).astype(np.int64)
        bits = np.unpackbits(data, axis=1, bitorder="little").astype(np.int64)
        values, start = np.zeros((len(data), len(outputs)), np.int64), 0
        for i, output in enumerate(outputs):
            weights = np.int64(1) << np.arange(output["bits"], dtype=np.int64)
            if output["signed"] and output["bits"]:
                weights[-1] = -weights[-1]
            values[:, i] = bits[:, start : start + output["bits"]] @ weights
            start += output["bits"]
        return values

    def recover(self) -> None:
        """Reset the accelerator, and the DMA if there is one; whatever was under way is dropped."""
        if self.dma is None:
            own = self._own
            if own is not None:  # it ends the bursts that it has begun
                self.core.write(own + OWN_STATUS, OWN_STOP)
                what = "the DMA did not stop: memory does not answer"
                self._wait(lambda: not self.core.read(own + OWN_STATUS) & OWN_BUSY, what)
            self.core.write(CONTROL, 1)
            self.core.write(WINDOWS, 3)
            return
        self.dma.write(SEND + DMA_CONTROL, RESET)  # resets both channels
        self._wait(lambda: not self.dma.read(SEND + DMA_CONTROL) & RESET, "the DMA did not come out of its reset")
        self.core.write(CONTROL, 1)

    def _check_bitstream(self) -> None:
        found, version = self.core.read(MAGIC), self.core.read(VERSION)
        if found != self.model["magic"]:
            raise WrongBitstream(f"register MAGIC is {found:#010x}, not {self.model['magic']:#010x}: another overlay")
        if version != self.model["version"]:
            raise WrongBitstream(f"the accelerator's registers are version {version}, not {self.model['version']}")
        digest = "".join(f"{self.core.read(DIGEST + 4 * i):08x}" for i in range(8))
        if digest != self.model["digest"]:
            ours = self.model["digest"]
            raise WrongBitstream(f"the bitstream is of build {digest[:12]}, this driver of {ours[:12]}; rebuild it")
        if self._own is not None and self.core.read(self._own + OWN_STATUS) >> 16 != OWN_IDENTITY:
            raise WrongBitstream("the bitstream has no DMA beside its windows, which this driver was built with")

    def _transfer(self, data: np.ndarray, count: int) -> np.ndarray:
        with self._lock:
            try:
                return self._exchange(data, count)
            except BaseException:
                with contextlib.suppress(AcceleratorError):  # the error that led here is the one to tell
                    self.recover()
                raise

    def _exchange(self, data: np.ndarray, count: int) -> np.ndarray:
        if self._own is not None:
            return self._by_memory(self._own, data, count)
        if self.dma is None:
            return self._by_windows(data, count)
        size = count * self.out_bytes
        self._source[: data.size] = data.reshape(-1)
        self._source.flush()
        self.core.write(CONTROL, 1)  # counters from 0, nothing left inside
        self.core.write(PACKET, count)
        self._start(RECEIVE, self._target, size)
        self._start(SEND, self._source, data.size)
        for channel in (SEND, RECEIVE):
            self._finish(channel)
        received = self.dma.read(RECEIVE + DMA_LENGTH)
        if received != size:
            raise ShortTransfer(f"{received} bytes came back, {count} results have {size}; {self._story()}")
        self._check_stream(count)
        self._target.invalidate()
        return np.array(self._target[:size]).reshape(count, self.out_bytes)

    def _by_windows(self, data: np.ndarray, count: int) -> np.ndarray:
        """One packet through the windows, in pieces of as many vectors as results can wait."""
        self.recover()  # counters from 0, nothing left inside
        self.core.write(PACKET, count)
        places, results = int(self.model["windows"]["places"]), []
        for start in range(0, count, places):
            words = np.ascontiguousarray(data[start : start + places]).reshape(-1).view("<u4").tolist()
            ends = start + places >= count
            for word in words[:-1] if ends else words:
                self.core.write(BEATS, word)
            if ends:
                self.core.write(LAST_BEATS, words[-1])
            wanted = min(places, count - start) * self.out_bytes // 4
            results.append(np.array([self.core.read(BEATS) for _ in range(wanted)], "<u4"))
        noted = self.core.read(WINDOWS)
        if noted:
            what = "; ".join(text for bit, text in enumerate(WINDOW_TEXTS) if noted >> bit & 1)
            raise TransferTimeout(f"{what}; {self._story()}")
        self._check_stream(count)
        return np.concatenate(results).view(np.uint8).reshape(count, self.out_bytes)

    def _by_memory(self, own: int, data: np.ndarray, count: int) -> np.ndarray:
        """One packet by the small DMA."""
        size = count * self.out_bytes
        self._source[: data.size] = data.reshape(-1)
        self._source.flush()
        self.core.write(CONTROL, 1)  # counters from 0, nothing left inside
        self.core.write(PACKET, count)
        for buffer, address, words, length in (
            (self._source, OWN_SOURCE, OWN_SOURCE_WORDS, data.size), (self._target, OWN_TARGET, OWN_TARGET_WORDS, size),
        ):  # fmt: skip
            if buffer.physical_address % UNIT:
                raise DmaError(f"a buffer at {buffer.physical_address:#x}: the DMA needs multiples of {UNIT}")
            self.core.write(own + address, buffer.physical_address)
            self.core.write(own + words, length // 4)
        self.core.write(own + OWN_STATUS, OWN_START)
        self._wait(lambda: not self.core.read(own + OWN_STATUS) & OWN_BUSY, "the DMA did not finish")
        status = self.core.read(own + OWN_STATUS)
        errors = [text for bit, text in OWN_ERRORS.items() if status & bit]
        if errors:
            raise DmaError(f"{'; '.join(errors)}; {self._story()}")
        if not status & OWN_COMPLETE:
            left = self.core.read(own + OWN_TARGET_WORDS)
            raise ShortTransfer(f"{left} of {size // 4} words did not come back; {self._story()}")
        self._check_stream(count)
        self._target.invalidate()
        return np.array(self._target[:size]).reshape(count, self.out_bytes)

    def _start(self, channel: int, buffer: Any, size: int) -> None:
        self.dma.write(channel + DMA_CONTROL, RUN)
        what = f"DMA channel {_NAMES[channel]} stayed halted, it did not start"
        self._wait(lambda: not self.dma.read(channel + DMA_STATUS) & HALTED, what)
        self.dma.write(channel + DMA_ADDRESS, buffer.physical_address)
        self.dma.write(channel + DMA_LENGTH, size)

    def _finish(self, channel: int) -> None:
        def done() -> bool:
            status = self.dma.read(channel + DMA_STATUS)
            if status & DMA_ERRORS:
                kinds = [n for bit, n in ((0x10, "internal"), (0x20, "slave"), (0x40, "address")) if status & bit]
                raise DmaError(f"DMA channel {_NAMES[channel]}: {', '.join(kinds)} error; {self._story()}")
            return bool(status & IDLE)

        self._wait(done, f"DMA channel {_NAMES[channel]} did not finish")

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self.timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise TransferTimeout(f"{what} within {self.timeout_s:g} s; {self._story()}")

    def _check_stream(self, count: int) -> None:
        counters = [self.core.read(COUNTERS + 4 * i) for i in range(4)]
        if self.core.read(ERRORS) or counters != [count, count, 1, 1]:
            raise StreamError(f"{count} vectors were sent in one packet; {self._story()}")

    def _story(self) -> str:
        """What the accelerator itself saw."""
        vectors_in, vectors_out, packets_in, packets_out = (self.core.read(COUNTERS + 4 * i) for i in range(4))
        noted = self.core.read(ERRORS)
        errors = [text for bit, text in enumerate(ERROR_TEXTS) if noted >> bit & 1] or ["no error noted"]
        seen = f"{vectors_in} vectors in {packets_in} packets in, {vectors_out} results in {packets_out} packets out"
        return f"the accelerator saw {seen}; {', '.join(errors)}"


def main() -> None:
    """Load the bitstream and run the self test."""
    parser = argparse.ArgumentParser(description="Loads the bitstream beside this file and runs its self test.")
    parser.add_argument("--driver", choices=("pynq", "plain"), default="pynq", help="plain: fpga_manager and /dev/mem")
    asked = parser.parse_args()
    accelerator = Accelerator.load(driver=asked.driver)
    print(f"{accelerator.self_test()} vectors, every result right")


if __name__ == "__main__":
    main()
