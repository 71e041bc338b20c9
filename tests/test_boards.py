"""Bitstreams for boards: the logic around the core, the processor's side of it, and both read back from their bits."""

import json
from pathlib import Path

import pytest

from flow.bitstream import container, files, frames
from flow.bitstream.assemble import assemble
from flow.bitstream.database import Database
from flow.bitstream.fasm import features
from flow.bitstream.placement import read_placement
from flow.bitstream.read_back import read_back
from flow.build import stages
from flow.build.engines import board
from flow.build.engines.bitstream import logic_core
from flow.build.engines.jobs import emit
from flow.build.engines.shell import on_board
from flow.build.options import Options
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.errors import ToolNotFound, UsageError
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.cells import cell_models
from flow.files import plan
from flow.netlist import place_and_route
from flow.tools import nextpnr, prjxray, yosys
from hls_templates import pynq_driver as driver

PARTS = {"pynq": "pynq-z2", "selftest": "basys3"}


def made_for(shell, folder):
    """A layer of two neurons, emitted for a board."""
    inputs = (Quantizer.saturating(Fixed(True, 3, 1)),) * 3
    neurons = (Neuron((1, -3, 2), 1, 3.0), Neuron((5, 2, -1), 0, 4.0))
    return made_of(Design("two", inputs, (Layer("dense_0", neurons),)), shell, folder)


def made_of(design, shell, folder):
    """A design, emitted for a board."""
    (folder / "design.json").write_text(to_json(finish(design)))
    options = Options.of(
        folder / "design.json", PARTS[shell], folder / "build", engines="integer", vectors=30, shell=shell,
        bitstream=True,
    )  # fmt: skip
    build = stages.prepare(options, lambda step, state: None)
    made = emit(build, 10.0)
    if made.shell:
        plan.mirror(on_board(build, made.shell, made.bench, made.board.logic, 66.0), options.out / "board")
    return made


@pytest.fixture(scope="module", params=PARTS)
def made(request, tmp_path_factory):
    return made_for(request.param, tmp_path_factory.mktemp(request.param))


def simulated(made, name, edit=lambda name, text: text):
    """The board's bench on the Verilog, with files edited."""
    folder = made.build.options.out / "edited" / name
    sources = [*made.bench.sources, *made.board.files]
    texts = {Path(s).name: edit(Path(s).name, (made.build.options.out / s).read_text()) for s in sources}
    plan.write(texts, folder)
    return board.simulate(made, made.board, [folder / Path(s).name for s in sources], folder / "run")


BUGS = {
    "pynq": [("axi_windows.v", "read_left <= s_axi_arlen;", "read_left <= s_axi_arlen + 4'd1;"),
             ("axi_windows.v", "assign vectors_last = write_at[14];", "assign vectors_last = 1'b0;"),
             ("axi_dma_burst.v", "5'd16 - {1'b0, at[3:0]}", "5'd16"),
             ("axi_dma_write.v", "half && final_burst && m_axi_wlast", "1'b0"),
             ("axi_dma.v", "failed | {write_failed, read_failed}", "failed | {1'b0, read_failed}")],
    "selftest": [("two_selftest.v", "4'd2: wanted <= ", "4'd2: wanted <= ~")],
}  # fmt: skip


def test_the_logic_around_the_core_and_the_boards_own_driver(made):
    """As emitted, then with faults that were put in."""
    result = simulated(made, "right")
    assert result.mismatches == 0 and not result.problems and result.vectors >= 16
    for number, (file, right, wrong) in enumerate(BUGS[made.build.options.shell]):

        def edit(name, text, file=file, right=right, wrong=wrong):
            assert name != file or right in text
            return text.replace(right, wrong) if name == file else text

        assert simulated(made, f"wrong_{number}", edit).mismatches, wrong


class Routed:
    """A board's bitstream, and what its bits say."""

    def __init__(self, made):
        build, part = made.build, made.build.options.part
        out, top = build.options.out, made.bench.top
        self.made, self.around = made, made.board.around
        script = yosys.synthesis_script([f"../{s}" for s in made.bench.sources], top, "xc7", dsp=False)
        yosys.synthesize(plan.folder(out / "synth"), script, 900)
        routed = place_and_route.route(
            plan.folder(out / "route"), out / "synth" / "netlist.json", top, part, 20.0, 1800, lambda cell: None,
            seeds=(1,), keep=True, around=self.around,
        )  # fmt: skip
        assert routed.clocks and routed.lut_sites["wrapper"] > routed.lut_sites["design"] > 0
        family = prjxray.locate() / prjxray.family_folder(part)
        self.database = Database(family, nextpnr.device_name(part), part.device)
        self.placement = read_placement(out / "route" / nextpnr.placed(1), self.database)
        (self.netlist,) = json.loads((out / "route" / "routed.json").read_text())["modules"].values()
        fasm = out / "route" / nextpnr.fasm(1)
        self.files = files.make(fasm, self.placement, self.netlist["cells"], self.database, top)
        self.bits = assemble(features(self.files.fasm.splitlines()), self.database).bits
        self.name = lambda cell: f"dense_0 {self.around.netlist_cell(cell)}" if self.around.holds(cell) else None

    def read(self, bits=None, netlist=None):
        bit = container.bit_file(frames.of_bits(self.bits if bits is None else bits), self.database, "two")
        netlist = netlist or self.netlist
        cores = [logic_core(self.made.board, netlist)]
        return read_back(bit, self.database, netlist, self.placement, self.around.pins, cores, self.name)

    def simulated(self, text):
        folder = self.made.build.options.out / "sim" / "bits"
        models = cell_models(yosys.cell_library().read_text())
        plan.write({"board.v": text, "cells.v": models}, folder)
        return board.simulate(self.made, self.made.board, [folder / "board.v", folder / "cells.v"], folder / "run")


@pytest.fixture(scope="module")
def routed(made):
    try:
        nextpnr.locate()
        prjxray.locate()
    except ToolNotFound as missing:
        pytest.skip(str(missing))
    return Routed(made)


@pytest.mark.parametrize("made", [pytest.param("pynq", marks=pytest.mark.long), "selftest"], indirect=True)
def test_the_bits_hold_the_board(routed):
    """They are the netlist, processor's pins included, and do what the Verilog does; each planted fault is told."""
    found = routed.read()
    assert found.differences == () and routed.files.bits == found.bits
    result = routed.simulated(found.verilog[0])
    assert result.mismatches == 0 and result.vectors >= 16
    if routed.made.shell:
        _swapped_pins_of_the_processor(routed)
    else:
        _a_fault_of_the_core_lights_an_led(routed)


def _swapped_pins_of_the_processor(routed):
    cell = routed.netlist["cells"]["u_ps7"]
    swapped = ("MAXIGP0RDATA", "SAXIHP0WDATA")
    wires = {**cell["connections"], **{pin: cell["connections"][pin][::-1] for pin in swapped}}
    changed = {**routed.netlist, "cells": {**routed.netlist["cells"], "u_ps7": {**cell, "connections": wires}}}
    texts = [text for text in routed.read(netlist=changed).differences if "u_ps7 has another signal at pin" in text]
    assert len(texts) > 8 and all(any(f"{pin}3 " in text for text in texts) for pin in swapped)
    line = next(s for s in routed.files.fasm.splitlines() if s.startswith("INT_") and s.endswith("GND_WIRE"))
    gone = routed.read(routed.bits - assemble([line], routed.database).bits)
    assert gone.differences, line


def _a_fault_of_the_core_lights_an_led(routed):
    """A bit of the contents of every LUT of the core is another one, one after the other, until a result is wrong."""
    for cell, place in sorted(routed.placement.items()):
        if not place.bel.endswith("6LUT") or not routed.around.holds(cell):
            continue
        kinds = ("SLICEL", "SLICEM")
        names = [f"{place.tile}.{kind}_{place.slice}.{place.bel[0]}LUT.INIT" for kind in kinds]
        known = routed.database.features(routed.database.tiles[place.tile].meaning)
        name = next(n for n in names if f"{n.partition('.')[2]}[0]" in known)
        lut = assemble([f"{name}[{i}]" for i in range(64)], routed.database).bits
        found = routed.read(routed.bits ^ lut)
        assert any(text.startswith("dense_0 ") for text in found.differences)
        result = routed.simulated(found.verilog[0])
        assert result.problems[0].startswith("LEDs wrong and passed are 10 after")
        return
    raise AssertionError("the core has no LUT")


def test_wrong_wishes_are_one_line():
    for more, said in (
        ({"shell": "selftest", "bitstream": True}, "give --bitstream and --part of arty"),
        ({"shell": "selftest", "part": "basys3"}, "give --bitstream"),
        ({"shell": "pynq", "bitstream": True, "bus_bits": 64}, "has a bus of 32 bits"),
    ):
        with pytest.raises(UsageError, match=said):
            Options.of("m.h5", **more)


class Slave:
    """Registers behind the processor without a core; the driver meets the real ones in the bench of the logic."""

    def __init__(self, model):
        self.model, self.noted = model, 0

    def read(self, offset):
        digest = self.model["digest"]
        known = {0: self.model["magic"], 4: self.model["version"], driver.WINDOWS: self.noted, driver.BEATS: 0}
        known.update({0x20 + 4 * i: int(digest[8 * i : 8 * i + 8], 16) for i in range(8)})
        return known.get(offset, 0)

    def write(self, offset, value):
        assert value >= 0


@pytest.fixture
def board_folder(tmp_path):
    made = made_for("pynq", tmp_path)
    (made.build.options.out / "board" / "two.bin").write_bytes(b"bits")
    return made.build.options.out / "board"


def test_without_pynq_the_kernel_loads_the_bitstream(board_folder, tmp_path, monkeypatch):
    """fpga_manager's files and the system's registers as they are asked for; what did not go through is told."""
    model = json.loads((board_folder / "accelerator.json").read_text())
    windows, manager = model["windows"], tmp_path / "sys/class/fpga_manager/fpga0"
    assert windows.pop("places") >= 2
    assert windows == {"base": 0x4000_0000, "bytes": 0x1_0000, "clock_mhz": 66.0, "dma": 0x2000}
    with pytest.raises(driver.AcceleratorError, match="this kernel loads no bitstream that way"):
        driver.load_plain(board_folder / "two.bin", 66.0, tmp_path)
    manager.mkdir(parents=True)
    for name, text in (("firmware", ""), ("flags", "1"), ("state", "write error")):
        (manager / name).write_text(text)
    with pytest.raises(driver.AcceleratorError, match="its state is 'write error'"):
        driver.load_plain(board_folder / "two.bin", 66.0, tmp_path)
    (manager / "state").write_text("operating\n")
    written, registers = [], {driver.IO_PLL: 20 << 12, driver.LOGIC_RESET: 0}
    system = type("System", (), {"read": lambda self, at: registers[at],
                                 "write": lambda self, at, value: (written.append((at, value)),
                                                                   registers.update({at: value}))})()  # fmt: skip
    driver.load_plain(board_folder / "two.bin", 66.0, tmp_path, system)
    assert (tmp_path / "lib/firmware/two.bin").read_bytes() == b"bits"
    assert (manager / "firmware").read_text() == "two.bin\n" and (manager / "flags").read_text() == "0\n"
    assert written[0] == (driver.UNLOCK, driver.UNLOCK_KEY) and written[-1] == (driver.LOCK, driver.LOCK_KEY)
    assert written[1] == (driver.FCLK0, 1 << 20 | 16 << 8)
    assert [value for at, value in written if at == driver.LOGIC_RESET] == [1, 0]

    core = Slave(model)
    monkeypatch.setattr(driver, "load_plain", lambda binary, clock_mhz: None)
    monkeypatch.setattr(driver, "Mapped", lambda base, size: core)
    monkeypatch.setattr(driver.UDmaBuf, "find", classmethod(lambda cls: None))
    loaded = driver.Accelerator.load(board_folder, driver="plain")
    core.noted = 2
    with pytest.raises(driver.TransferTimeout, match="a read found no result in time; the accelerator saw 0 vectors"):
        loaded.self_test()
    with pytest.raises(driver.AcceleratorError, match="choose pynq or plain"):
        driver.Accelerator.load(board_folder, driver="vendor")
    (board_folder / "two.bin").unlink()
    with pytest.raises(driver.AcceleratorError, match=r"two\.bin is not there; build with --bitstream"):
        driver.Accelerator.load(board_folder, driver="plain")


def test_a_clock_is_never_faster_than_asked():
    for wanted in (1.0, 15.7, 66.0, 99.9, 100.0, 142.9, 250.0):
        for pll in (1000.0, 1600.0, 833.3):
            first, second = driver.divisors(pll, wanted)
            assert 1 <= first <= 63 and 1 <= second <= 63 and pll / (first * second) <= wanted * 1.000001
            assert wanted < 20 or pll / (first * second) > wanted * 0.75
