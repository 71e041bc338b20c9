"""The DMA of a board's logic in both simulators, and the driver that uses it with memory of PYNQ or u-dma-buf."""

import sys
import types

import numpy as np
import pytest
import strategies
from test_boards import made_of
from test_shell_driver import set_up

from flow.build.engines import board
from flow.core.evaluate import evaluate
from flow.tools import verilator
from flow.tools.cocotb import environment, library, verilator_main
from flow.tools.process import run
from hls_templates import pynq_driver as driver

OWN = 0x2000


def in_verilator(sources, top, work, env):
    """As ``board.in_icarus``; every signal can be seen."""
    vpi = library("verilator")
    links = f"-Wl,-rpath,{vpi.parent} -L{vpi.parent} -l{vpi.stem.removeprefix('lib')}"
    command = [
        verilator.find(), "--cc", "--exe", "--build", "--vpi", "--public-flat-rw", "--prefix", "Vtop",
        "--top-module", top, "--timescale", "1ns/1ps", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-initial", "unique",
        "-CFLAGS", "-O0", "-LDFLAGS", links, str(verilator_main()), *(str(s.resolve()) for s in sources),
    ]  # fmt: skip
    built = run(command, work, work / "verilator.log", 900).seconds
    program = [str(work / "obj_dir" / "Vtop")]
    return run(program, work, work / "verilator_run.log", 900, {**environment(top, work), **env}).seconds, built


def odd_beats():
    """A design whose vectors and results are odd numbers of words: most packets end inside a beat of memory."""
    for seed in range(200):
        design = strategies.random_design(seed, max_size=12)
        _, _, accelerator = set_up(seed)
        layout = accelerator.model["layout"]
        if layout["in_beats"] == 3 and layout["out_beats"] % 2:
            return design
    raise AssertionError("no design of the kind")


@pytest.mark.parametrize("simulator", [board.in_icarus, in_verilator])
def test_transfers_from_memory_to_memory(simulator, tmp_path):
    """In Icarus and in Verilator."""
    made = made_of(odd_beats(), "pynq", tmp_path)
    sources = [made.build.options.out / s for s in (*made.bench.sources, *made.board.files)]
    result = board.simulate(made, made.board, sources, tmp_path / "run", simulator)
    assert result.mismatches == 0 and not result.problems and result.vectors >= 16


class OwnDma:
    """The registers of a board with the small DMA, in software; it can refuse, hang or lose results."""

    def __init__(self, hardware):
        self.hardware, self.core, self.registers = hardware, hardware.core, {OWN: 0x444D_0000}
        self.status, self.hangs, self.lost, self.polls = 0, False, 0, 0

    def read(self, offset):
        if offset == OWN and self.registers[OWN] & 1 and not self.hangs:
            self.polls -= 1
            if self.polls <= 0:
                self._finish()
        return self.registers[offset] if offset >= OWN else self.core.read(offset)

    def write(self, offset, value):
        if offset < driver.WINDOWS:
            self.core.write(offset, value)
        elif offset == OWN:
            self.registers[OWN] = self.registers[OWN] & ~3 | (value & 1)
            self.polls, self.hangs = 3, self.hangs and not value & 2
        elif offset != driver.WINDOWS:
            self.registers[offset] = value

    def _finish(self):
        source, words, target, wanted = (self.registers[OWN + 4 * i] for i in range(1, 5))
        results = self.hardware.run(self.hardware.memory[source][: 4 * words])
        assert len(results) == 4 * wanted and source % 8 == target % 8 == 0
        self.hardware.memory[target][: len(results)] = results
        self.registers[OWN + 0x10] = self.lost
        self.registers[OWN] = 0x444D_0000 | (self.status or (0 if self.lost else 2))


def by_memory(**options):
    """A design, a board with the small DMA in software and its driver."""
    design, hardware, made = set_up(3)
    windows = {"base": 0x4000_0000, "bytes": 0x1_0000, "places": 4, "clock_mhz": 66.0, "dma": OWN}
    model = {**made.model, "windows": windows}
    own = OwnDma(hardware)
    return design, own, driver.Accelerator(model, own, None, hardware.allocate, **{"timeout_s": 0.05, **options})


def test_the_driver_moves_vectors_by_the_dma():
    design, _, accelerator = by_memory(max_vectors=32)
    mantissas = strategies.vectors(design, 100)
    assert np.array_equal(accelerator.infer(mantissas), evaluate(design, mantissas))


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ({"status": 4}, driver.DmaError, "memory refused a read of vectors; the accelerator saw 20 vectors"),
        ({"status": 12}, driver.DmaError, "a read of vectors; memory refused a write of results"),
        ({"hangs": True}, driver.TransferTimeout, "the DMA did not finish within 0.05 s"),
        ({"lost": 7}, driver.ShortTransfer, "7 of .* words did not come back"),
    ],
)
def test_what_goes_wrong_in_the_dma_is_told_and_recovered_from(fault, error, message):
    design, own, accelerator = by_memory()
    mantissas = strategies.vectors(design, 20)
    for name, value in fault.items():
        setattr(own, name, value)
    with pytest.raises(error, match=message):
        accelerator.infer(mantissas)
    own.status, own.hangs, own.lost = 0, False, 0
    assert np.array_equal(accelerator.infer(mantissas), evaluate(design, mantissas))
    accelerator._target.physical_address += 4
    with pytest.raises(driver.DmaError, match="the DMA needs multiples of 8"):
        accelerator.infer(mantissas)


def test_a_bitstream_without_the_dma_is_refused():
    _, own, accelerator = by_memory()
    own.registers[OWN] = 0
    with pytest.raises(driver.WrongBitstream, match="has no DMA beside its windows"):
        driver.Accelerator(accelerator.model, own, None, own.hardware.allocate)


def u_dma_buf(root, size, kind="u-dma-buf"):
    """The files of the kernel module."""
    about = root / "sys/class" / kind / "udmabuf0"
    about.mkdir(parents=True)
    (about / "phys_addr").write_text("0x1f800000\n")
    (about / "size").write_text(f"{size}\n")
    (root / "dev").mkdir()
    (root / "dev/udmabuf0").write_bytes(bytes(size))


@pytest.mark.parametrize("kind", ["u-dma-buf", "udmabuf"])
def test_memory_of_the_kernel_module(tmp_path, kind):
    assert driver.UDmaBuf.find(tmp_path) is None
    u_dma_buf(tmp_path, 8192, kind)
    memory = driver.UDmaBuf.find(tmp_path)
    first, second = memory.allocate(20), memory.allocate(8000)
    assert (first.physical_address, second.physical_address) == (0x1F80_0000, 0x1F80_0018)
    second[:3] = np.array([1, 2, 3], np.uint8)
    assert second[1:3].tolist() == [2, 3] and (tmp_path / "dev/udmabuf0").read_bytes()[24:27] == b"\1\2\3"
    with pytest.raises(driver.AcceleratorError, match="too small"):
        memory.allocate(1000)


@pytest.mark.parametrize(("size", "most", "said"), [(8192, 8, False), (64, None, True), (None, None, True)])
def test_the_plain_way_uses_the_dma_where_there_is_memory(tmp_path, monkeypatch, capsys, size, most, said):
    """Else the windows, and says so once."""
    _, own, accelerator = by_memory()
    model = {**accelerator.model, "layout": {**accelerator.model["layout"], "in_bytes": 900, "out_bytes": 100}}
    if size:
        u_dma_buf(tmp_path, size)
    find = driver.UDmaBuf.find
    monkeypatch.setattr(driver, "Mapped", lambda base, size: own)
    monkeypatch.setattr(driver.UDmaBuf, "find", classmethod(lambda cls: find(tmp_path)))
    made = driver.Accelerator._plain(model, {})
    assert (made._own, made.max_vectors) == ((OWN, most) if most else (None, 4096))
    assert ("no u-dma-buf" in capsys.readouterr().out) == said


def test_pynq_allocates_the_memory(monkeypatch):
    design, own, accelerator = by_memory()
    overlay = types.SimpleNamespace(accelerator=own)
    fake = types.SimpleNamespace(
        Overlay=lambda path: overlay, allocate=lambda shape, kind: own.hardware.allocate(*shape)
    )
    monkeypatch.setitem(sys.modules, "pynq", fake)
    made = driver.Accelerator._with_pynq(accelerator.model, "x.bit", {"timeout_s": 0.05})
    mantissas = strategies.vectors(design, 20)
    assert made._own == OWN and np.array_equal(made.infer(mantissas), evaluate(design, mantissas))
