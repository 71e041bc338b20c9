"""The way to a bitstream and back, on a design of a few cells: what is made, what is read, and planted faults."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from flow.bitstream import block_rams, container, files, frames
from flow.bitstream.assemble import Assembled, assemble
from flow.bitstream.database import Database
from flow.bitstream.decode import decode
from flow.bitstream.fabric import Contradiction
from flow.bitstream.fasm import features
from flow.bitstream.netlist import Cell, Recovered
from flow.bitstream.placement import PlacedCell, read_placement, with_true_tables
from flow.bitstream.read_back import Core, _idle, layers_of, read_back
from flow.bitstream.verilog import _behind
from flow.build.command import app
from flow.build.engines import bitstream as engine
from flow.build.engines.routing import refuse_unreadable
from flow.build.state import finish
from flow.core.compare import EngineResult
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.errors import ReportError, ToolNotFound
from flow.core.fixed import Fixed, Quantizer
from flow.core.nodes import Node, Window
from flow.emit.rtl.cells import cell_models
from flow.netlist import place_and_route
from flow.netlist.routed_top import INSTANCE
from flow.parts.catalog import resolve
from flow.report.html.chip_map import svg
from flow.tools import icarus, nextpnr, prjxray, process, yosys

Z020 = resolve("xc7z020")
# A LUT pair with a shared input, carry chains, wide multiplexers, flip-flops of each kind, one constant at three pins.
# The second chain begins with an atom of six bits; one of its sums only leads to the end of the third, which is unused.
VERILOG = """
module tiny(input clk, input [8:0] in_data, output [96:0] out_data);
  wire [3:0] s, o, co, t, u, v, w; wire twice, hanging;
  wire a, b, c, d, f7, g7, f8, thrice;
  LUT6 #(.INIT(64'h8123_4567_89ab_cdef)) u_a (.O(a), .I0(in_data[0]), .I1(in_data[1]), .I2(in_data[2]),
       .I3(in_data[3]), .I4(in_data[4]), .I5(in_data[5]));
  LUT6 #(.INIT(64'h1032_5476_98ba_dcfe)) u_b (.O(b), .I0(in_data[3]), .I1(in_data[1]), .I2(in_data[2]),
       .I3(in_data[0]), .I4(in_data[4]), .I5(in_data[6]));
  LUT4 #(.INIT(16'h1ee8)) u_c (.O(c), .I0(in_data[3]), .I1(in_data[7]), .I2(in_data[2]), .I3(in_data[0]));
  LUT3 #(.INIT(8'h96)) u_d (.O(d), .I0(in_data[7]), .I1(in_data[8]), .I2(in_data[0]));
  LUT5 #(.INIT(32'h3a96_7b29)) u_thrice (.O(thrice), .I0(in_data[7]), .I1(in_data[5]), .I2(1'b0), .I3(1'b0), .I4(1'b0));
  MUXF7 u_f7 (.O(f7), .I0(a), .I1(b), .S(in_data[7]));
  MUXF7 u_g7 (.O(g7), .I0(c), .I1(d), .S(in_data[7]));
  MUXF8 u_f8 (.O(f8), .I0(f7), .I1(g7), .S(in_data[8]));
  genvar i;
  generate for (i = 0; i < 4; i = i + 1) begin : bits
    LUT2 #(.INIT(4'h6)) u_s (.O(s[i]), .I0(in_data[i]), .I1(in_data[i + 4]));
  end endgenerate
  CARRY4 u_carry (.O(o), .CO(co), .CI(1'b0), .CYINIT(1'b1), .DI(in_data[3:0]), .S(s));
  LUT6 #(.INIT(64'h6996966996696996)) u_odd (.O(t[0]), .I0(in_data[0]), .I1(in_data[5]), .I2(in_data[1]),
       .I3(in_data[2]), .I4(in_data[3]), .I5(in_data[4]));
  LUT5 #(.INIT(32'h177e_7ee8)) u_once (.O(t[1]), .I0(in_data[0]), .I1(in_data[1]), .I2(in_data[2]), .I3(in_data[3]),
       .I4(in_data[4]));
  LUT5 #(.INIT(32'he880_8000)) u_twice (.O(twice), .I0(in_data[0]), .I1(in_data[1]), .I2(in_data[2]), .I3(in_data[3]),
       .I4(in_data[4]));
  LUT2 #(.INIT(4'h6)) u_t2 (.O(t[2]), .I0(in_data[6]), .I1(in_data[7]));
  CARRY4 u_atom (.O(u), .CI(1'b0), .CYINIT(in_data[8]), .DI({1'b0, in_data[6], twice, in_data[5]}), .S({1'b0, t[2:0]}));
  LUT2 #(.INIT(4'h8)) u_hanging (.O(hanging), .I0(u[2]), .I1(in_data[8]));
  CARRY4 u_unused (.O(v), .CI(1'b0), .CYINIT(1'b0), .DI({hanging, 2'b0, in_data[1]}), .S({3'b0, s[1]}));
  // its lowest sum is in_data[2] itself
  CARRY4 u_plain (.O(w), .CI(1'b0), .CYINIT(1'b0), .DI({2'b0, in_data[5:4]}), .S({2'b0, s[3], in_data[2]}));
  FDRE #(.INIT(1'b0)) u_q95 (.Q(out_data[95]), .C(clk), .CE(1'b1), .R(1'b0), .D(w[0]));
  FDRE #(.INIT(1'b0)) u_q96 (.Q(out_data[96]), .C(clk), .CE(1'b1), .R(1'b0), .D(w[2]));
  FDRE #(.INIT(1'b0)) u_q92 (.Q(out_data[92]), .C(clk), .CE(1'b1), .R(1'b0), .D(u[0]));
  assign out_data[93] = u[1];
  FDRE #(.INIT(1'b0)) u_q94 (.Q(out_data[94]), .C(clk), .CE(1'b1), .R(1'b0), .D(v[0]));
  FDRE #(.INIT(1'b0)) u_q0 (.Q(out_data[0]), .C(clk), .CE(1'b1), .R(in_data[8]), .D(f8));
  FDSE #(.INIT(1'b1)) u_q1 (.Q(out_data[1]), .C(clk), .CE(in_data[7]), .S(in_data[8]), .D(o[0]));
  FDRE #(.INIT(1'b1)) u_q2 (.Q(out_data[2]), .C(clk), .CE(1'b1), .R(1'b0), .D(o[1]));
  FDRE #(.INIT(1'b0)) u_q3 (.Q(out_data[3]), .C(clk), .CE(1'b1), .R(1'b0), .D(o[3]));
  assign out_data[4] = co[3];
  assign out_data[5] = thrice;
  FDCE #(.INIT(1'b0)) u_q6 (.Q(out_data[6]), .C(clk), .CE(1'b1), .CLR(in_data[6]), .D(o[2]));
  assign out_data[7] = out_data[6];
  RAM32M #(.INIT_A(64'h0123456789abcdef), .INIT_B(64'h5), .INIT_C(64'hfedcba9876543210)) u_small (.WCLK(clk),
       .WE(in_data[8]), .ADDRA(in_data[4:0]), .ADDRB(in_data[5:1]), .ADDRC(in_data[6:2]), .ADDRD(in_data[7:3]),
       .DIA(in_data[1:0]), .DIB(in_data[3:2]), .DIC(in_data[5:4]), .DID(2'b0), .DOA(out_data[9:8]),
       .DOB(out_data[11:10]), .DOC(out_data[13:12]));
  RAM64M #(.INIT_A(64'h0123456789abcdef), .INIT_B(64'h7)) u_deep (.WCLK(clk), .WE(in_data[0]), .ADDRA(in_data[5:0]),
       .ADDRB(in_data[6:1]), .ADDRC(in_data[7:2]), .ADDRD(in_data[8:3]), .DIA(in_data[1]), .DIB(in_data[2]),
       .DIC(in_data[3]), .DID(in_data[4]), .DOA(out_data[14]), .DOB(out_data[15]), .DOC(out_data[16]));
  RAMB18E1 #(.INIT_00(256'hdeadbeef0123456789), .INIT_3F({4{64'h0f1e2d3c4b5a6978}}), .INITP_00(256'h5),
      .READ_WIDTH_A(18)) u_half (.CLKARDCLK(clk), .CLKBWRCLK(1'b0), .ENARDEN(in_data[0]), .ENBWREN(1'b0),
      .REGCEAREGCE(1'b1), .REGCEB(1'b0), .RSTRAMARSTRAM(1'b0), .RSTRAMB(1'b0), .RSTREGARSTREG(1'b0), .RSTREGB(1'b0),
      .ADDRARDADDR({in_data[8], in_data, 4'b0}), .ADDRBWRADDR(14'h3fff), .DIADI(16'hffff), .DIBDI(16'hffff),
      .DIPADIP(2'b11), .DIPBDIP(2'b11), .WEA(2'b0), .WEBWE(4'b0), .DOADO(out_data[32:17]), .DOPADOP(out_data[34:33]));
  RAMB36E1 #(.INIT_00(256'hfeedface9876543210), .INIT_01({4{64'h123456789abcdef0}}), .INITP_00(256'hc6),
      .READ_WIDTH_A(18)) u_whole (.CLKARDCLK(clk), .CLKBWRCLK(1'b0), .ENARDEN(1'b1), .ENBWREN(1'b0),
      .REGCEAREGCE(1'b1), .REGCEB(1'b0), .RSTRAMARSTRAM(1'b0), .RSTRAMB(1'b0), .RSTREGARSTREG(1'b0), .RSTREGB(1'b0),
      .ADDRARDADDR({1'b1, in_data[8], in_data[8], in_data, 4'b0}), .ADDRBWRADDR(16'hffff), .DIADI(32'hffffffff),
      .DIBDI(32'hffffffff), .DIPADIP(4'hf), .DIPBDIP(4'hf), .WEA(4'b0), .WEBWE(8'b0), .DOADO(out_data[50:35]),
      .DOPADOP(out_data[52:51]));
  RAMB18E1 #(.INIT_01(256'hdeadbeef0123456789), .WRITE_WIDTH_A(18), .READ_WIDTH_B(18), .WRITE_MODE_A("READ_FIRST"),
      .WRITE_MODE_B("READ_FIRST")) u_written (.CLKARDCLK(clk), .CLKBWRCLK(clk), .ENARDEN(1'b1), .ENBWREN(in_data[0]),
      .REGCEAREGCE(1'b0), .REGCEB(1'b0), .RSTRAMARSTRAM(1'b0), .RSTRAMB(1'b0), .RSTREGARSTREG(1'b0), .RSTREGB(1'b0),
      .ADDRARDADDR({in_data[8], in_data, 4'b0}), .ADDRBWRADDR({in_data[7], in_data[4:0], in_data[8:5], 4'b0}),
      .DIADI({in_data[6:0], in_data}), .DIBDI(16'h0), .DIPADIP(in_data[4:3]), .DIPBDIP(2'b0), .WEA({2{in_data[2]}}),
      .WEBWE(4'b0), .DOBDO(out_data[68:53]), .DOPBDOP(out_data[70:69]));
  DSP48E1 #(.ACASCREG(0), .ADREG(0), .ALUMODEREG(0), .AREG(0), .BCASCREG(1), .BREG(1), .CARRYINREG(0),
      .CARRYINSELREG(0), .CREG(0), .DREG(0), .INMODEREG(0), .MREG(0), .OPMODEREG(0), .PREG(1)) u_product (.CLK(clk),
      .A({{21{in_data[8]}}, in_data}), .B({{9{in_data[7]}}, in_data}), .C(48'b0), .D(25'b0), .ALUMODE(4'b0),
      .CARRYIN(1'b0), .CARRYINSEL(3'b0), .CEB2(in_data[1]), .CEP(in_data[0]), .INMODE(5'b0), .OPMODE(7'h25),
      .RSTB(1'b0), .RSTP(in_data[6]), .P(out_data[91:71]));
endmodule
"""
SCRIPT = """\
read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v
read_verilog tiny.v
hierarchy -check -top tiny
select tiny
write_json -selected netlist.json
"""


MODELS = "LUT2 LUT3 LUT4 LUT5 LUT6 MUXF7 MUXF8 CARRY4 FDRE FDSE FDCE RAM32M RAM64M RAMB18E1 RAMB36E1 DSP48E1"


class Routed:
    """The routed design, and what reading its bits gives."""

    def __init__(self, folder: Path, database: Database) -> None:
        (folder / "route").mkdir()
        (folder / "tiny.v").write_text(VERILOG)
        yosys.run_script(folder, SCRIPT, "tiny", 60)
        around = place_and_route.prepare(folder / "route", folder / "netlist.json", "tiny", 60, Z020)
        nextpnr.place_and_route(folder / "route", Z020, 20.0, 1, 300, around.constraints(20.0))
        self.database, self.fasm = database, folder / "route" / nextpnr.fasm(1)
        self.placement = read_placement(folder / "route" / nextpnr.placed(1), database)
        (self.netlist,) = json.loads((folder / "route" / "routed.json").read_text())["modules"].values()
        module = json.loads((folder / "netlist.json").read_text())["modules"]["tiny"]
        nets = {name: self.netlist["netnames"][f"{INSTANCE}.{name}"]["bits"] for name in module["ports"]}
        self.core = Core("tiny", module["ports"], nets)
        self.files = files.make(self.fasm, self.placement, self.netlist["cells"], database, "tiny")
        self.bits = assemble(features(self.files.fasm.splitlines()), database).bits

    def read(self, bit: bytes, netlist=None):
        pads = nextpnr.pads(Z020).by_port()
        name = lambda cell: "dense_0 neuron 3" if "u_b" in cell or "u_odd" in cell else None  # noqa: E731
        return read_back(
            bit, self.database, netlist or self.netlist, self.placement, pads, [self.core], name, self.bits
        )

    def with_bits(self, bits):
        return self.read(container.bit_file(frames.of_bits(bits), self.database, "tiny"))

    def with_feature(self, name: str, other: str):
        """What is read where the FASM has another feature in place of one."""
        lines = self.files.fasm.splitlines()
        assert name in lines
        changed = [other if line == name else line for line in lines]
        return self.with_bits(assemble(features(changed), self.database).bits)


@pytest.fixture(scope="module")
def database():
    try:
        nextpnr.locate()
        family = prjxray.locate() / "zynq7"
    except ToolNotFound as missing:
        pytest.skip(str(missing))
    return Database(family, nextpnr.device_name(Z020), Z020.device)


@pytest.fixture(scope="module")
def routed(database, tmp_path_factory):
    return Routed(tmp_path_factory.mktemp("routed"), database)


def test_the_bitstream_is_read_back_as_what_was_routed(routed):
    found = routed.read(routed.files.bit)
    assert found.differences == () and found.bits == routed.files.bits == len(routed.bits)
    kinds = [cell["type"] for cell in routed.netlist["cells"].values()]
    assert found.compared.luts == sum(kind.startswith("LUT") or kind == "INV" for kind in kinds) > 9
    assert found.compared.flip_flops == sum(kind.startswith("FD") for kind in kinds)
    assert (
        found.compared.carries == 4
        and found.compared.multiplexers == 3
        and found.compared.memories == 5
        and found.compared.dsp_slices == 1
        and found.switches > 100
    )
    (text,) = found.verilog
    assert "module tiny (" in text and text.count("MUXF7 ") == 2
    assert "output wire [96:0] out_data" in text and "FDSE #(" in text


def test_the_netlist_of_the_bits_computes_what_the_cells_do(routed, tmp_path):
    """Every input of the combinational outputs, in Icarus, beside the Verilog that went in."""
    library = cell_models(yosys.cell_library().read_text())
    modules = {m[1]: m[0] for m in re.finditer(r"^module (\w+).*?^endmodule\n", library, re.MULTILINE | re.DOTALL)}
    models = "".join(modules[name] for name in MODELS.split())
    theirs = routed.read(routed.files.bit).verilog[0].replace("module tiny", "module theirs")
    bench = """
module bench; reg clk = 0; reg [8:0] x = 0; wire [96:0] p, q; integer i;
  tiny a(.clk(clk), .in_data(x), .out_data(p)); theirs b(.clk(clk), .in_data(x), .out_data(q));
  initial begin
    for (i = 0; i < 2048; i = i + 1) begin
      x = (i * 341 + (i >> 3)) & 511; #1; if (p !== q) begin $display("differs %b %b %b", x, p, q); $finish; end
      clk = 1; #1; if (p !== q) begin $display("differs %b %b %b", x, p, q); $finish; end
      clk = 0; #1;
    end
    $display("same");
  end
endmodule
"""
    (tmp_path / "all.v").write_text("`timescale 1ps/1ps\n" + models + VERILOG + theirs + bench)
    iverilog, vvp = icarus.find()
    process.run([iverilog, "-g2012", "-o", "sim.vvp", "all.v"], tmp_path, tmp_path / "build.log", 60)
    assert "same" in process.run([vvp, "sim.vvp"], tmp_path, tmp_path / "run.log", 60).text


def test_wrong_contents_of_luts_are_corrected_and_caught_if_not(routed):
    """nextpnr's own fault: one constant at four inputs of a parity in the wrapper."""
    assert any("u_parity" in name for change in routed.files.changes for name in change.cells)
    wrong = files.make(routed.fasm, routed.placement, routed.netlist["cells"], routed.database, "tiny", correct=False)
    assert not wrong.changes and wrong.bit != routed.files.bit
    found = routed.read(wrong.bit)
    assert any("u_parity" in text and "contents" in text for text in found.differences)
    assert any("u_small" in text and "contents (INIT_A)" in text for text in found.differences)


def test_an_atom_of_six_bits_takes_one_site_a_column(routed):
    """O5 stands for DI, which is the sixth input of the LUT of S."""
    parity, lower = place_of(routed, "u_odd"), place_of(routed, "u_odd$DI")
    assert parity.site == lower.site and (parity.bel[1], lower.bel[1]) == ("6", "5")
    assert all(parity.pins) and not lower.pins[5]


def place_of(routed, cell):
    (name,) = (n for n in routed.placement if n.endswith(cell))
    return routed.placement[name]


@pytest.mark.parametrize(("cell", "value"), [("u_b", 0), ("u_b", 1), ("u_odd", 0), ("u_odd", 1)])
def test_a_flipped_bit_of_a_lut_is_told_with_layer_and_neuron(routed, cell, value):
    place = place_of(routed, cell)
    (start,) = {f for f in decode_all(routed)[place.tile] if re.match(rf"SLICE\w_{place.slice}\.{place.bel[0]}LUT", f)
                and f.endswith("[0]")} or {f"SLICEM_{place.slice}.{place.bel[0]}LUT.INIT[0]"}  # fmt: skip
    tile = routed.database.tiles[place.tile]
    kind = start.partition("_")[0]
    names = [f"{kind}_{place.slice}.{place.bel[0]}LUT.INIT[{i}]" for i in range(64)]
    known = routed.database.features(tile.meaning)
    if names[0] not in known:
        names = [name.replace("SLICEM", "SLICEL") for name in names]
    block = tile.blocks["CLB_IO_CLK"]
    bits = [(block.base + f, 32 * block.offset + p) for n in names for f, p in known[n].ones]
    bit = next(b for b in bits if (b in routed.bits) == bool(value))
    found = routed.with_bits(routed.bits ^ {bit})
    if cell == "u_b":  # behind a carry chain more is not found again
        assert len(found.differences) == 1 and found.verilog
    assert found.differences[0].startswith("dense_0 neuron 3: ") and cell in found.differences[0]
    assert layers_of(found.differences, ["dense_0", "dense_1", "dense"]) == ["dense_0"]


def decode_all(routed):
    return decode(
        frames.bits_of(container.read_bit(routed.files.bit, routed.database).frames), routed.database
    ).features


def test_a_flipped_bit_of_the_routing_is_told(routed):
    """Each bit of a few switches taken away, and a second driver for a wire."""
    switches = [line for line in routed.files.fasm.splitlines() if re.match(r"INT_[LR]_X\d+Y\d+\.\w+\.\w+$", line)]
    for line in switches[:: max(1, len(switches) // 6)]:
        bits = assemble([line], routed.database).bits
        for bit in sorted(bits)[:1]:
            assert routed.with_bits(routed.bits - {bit}).differences, line
    line = next(s for s in switches if "IMUX" in s.split(".")[1])
    tile, to, _ = line.split(".")
    kind = routed.database.tiles[tile].meaning
    second = (
        assemble([f"{tile}.{f}"], routed.database).bits
        for f in routed.database.features(kind)
        if f.startswith(f"{to}.")
    )
    added = next(bits for bits in second if not bits <= routed.bits)
    (text,) = routed.with_bits(routed.bits | added).differences[:1]
    assert text


def test_memories_in_luts_are_compared(routed):
    """A word changed, on each side; an address of another signal; nothing where only data without effect differs."""
    (cell,) = (n for n in routed.netlist["cells"] if n.endswith("u_small"))
    entry = routed.netlist["cells"][cell]
    for change, said in (
        ({"parameters": {**entry["parameters"], "INIT_B": f"{4:064b}"}}, "other contents (INIT_B)"),
        ({"connections": {**entry["connections"], "ADDRA": entry["connections"]["ADDRB"]}}, "pin ADDRA[0]"),
        ({"connections": {**entry["connections"], "WE": ["1"]}}, "pin WE[0]"),
    ):
        changed = {**routed.netlist, "cells": {**routed.netlist["cells"], cell: {**entry, **change}}}
        assert any("u_small" in text and said in text for text in routed.read(routed.files.bit, changed).differences)
    line = next(s for s in routed.files.fasm.splitlines() if "LUT.SMALL" in s)
    tile, _, lut = line.removesuffix(".SMALL").partition(".")
    ones = [f"{tile}.{f}" for f in decode_all(routed)[tile] if f.startswith(f"{lut}.INIT[")]
    bits = routed.bits - assemble(ones[:1], routed.database).bits
    assert any("u_small" in text and "contents" in text for text in routed.with_bits(bits).differences)


def test_a_word_of_a_block_ram_is_compared(routed):
    """A bit of each, cleared in the file; and an address bit of the netlist that is another signal."""
    for cell, row in (("u_half", "INIT_00"), ("u_whole", "INIT_00"), ("u_half", "INITP_00")):
        (name,) = (n for n in routed.placement if n.endswith(cell))
        place, entry = routed.placement[name], routed.netlist["cells"][name]
        half = place.slice if cell == "u_half" else "RAMB18_Y0"
        feature = next(f for f in sorted(decode_all(routed)[place.tile]) if f.startswith(f"{half}.{row}["))
        bits = routed.bits - assemble([f"{place.tile}.{feature}"], routed.database).bits
        (text,) = routed.with_bits(bits).differences
        assert cell in text and f"other contents ({row.partition('_')[0]})" in text
        address = entry["connections"]["ADDRARDADDR"]
        turned = {**entry["connections"], "ADDRARDADDR": [*address[:5], address[6], address[5], *address[7:]]}
        changed = {**routed.netlist, "cells": {**routed.netlist["cells"], name: {**entry, "connections": turned}}}
        texts = routed.read(routed.files.bit, changed).differences
        assert any(cell in text and "ADDRARDADDR[5]" in text for text in texts)


@pytest.mark.parametrize(
    ("cell", "pin", "feature", "said"),
    [
        ("u_written", "DIADI", "WRITE_MODE_A_READ_FIRST", "settings (WRITE_MODE_A)"),
        ("u_written", "ADDRBWRADDR", "READ_WIDTH_B_18", "settings (READ_WIDTH_B)"),
        ("u_product", "A", "ZMREG[0]", "settings (MREG)"),
        ("u_product", "B", "ZIS_OPMODE_INVERTED[2]", "pin OPMODE[2]"),
        ("u_product", "A", "ZCREG[0]", "settings (CREG)"),
    ],
)
def test_settings_and_pins_of_written_memories_and_products_are_compared(routed, cell, pin, feature, said):
    """A setting of each lost in the file; and two bits of a pin exchanged in the netlist."""
    (name,) = (n for n in routed.placement if n.endswith(cell))
    place, entry = routed.placement[name], routed.netlist["cells"][name]
    start = place.slice if cell == "u_written" else f"DSP48.{place.slice}"
    assert f"{start}.{feature}" in decode_all(routed)[place.tile]
    bits = routed.bits - assemble([f"{place.tile}.{start}.{feature}"], routed.database).bits
    texts = routed.with_bits(bits).differences
    assert any(cell in text and said in text for text in texts), texts
    nets = entry["connections"][pin]
    turned = {**entry["connections"], pin: [*nets[:5], nets[6], nets[5], *nets[7:]]}
    changed = {**routed.netlist, "cells": {**routed.netlist["cells"], name: {**entry, "connections": turned}}}
    texts = routed.read(routed.files.bit, changed).differences
    assert any(cell in text and f"{pin}[5]" in text for text in texts), texts


@pytest.mark.parametrize(("cell", "feature"), [("u_written", "FIFO_MODE"), ("u_product", "USE_SIMD_FOUR12")])
def test_settings_that_no_design_has_are_told_with_the_cell(routed, cell, feature):
    (name,) = (n for n in routed.placement if n.endswith(cell))
    place = routed.placement[name]
    start = place.slice if cell == "u_written" else f"DSP48.{place.slice}"
    added = assemble([f"{place.tile}.{start}.{feature}"], routed.database).bits
    (text,) = routed.with_bits(routed.bits | added).differences
    assert text.startswith(f"wrapper: {name}: ") and feature in text and "no design of this flow has" in text


def test_a_written_memory_takes_its_enable_and_words_as_a_whole(routed):
    """The netlist with another enable; then one of the pins that enable the parts of a word with another driver."""
    (name,) = (n for n in routed.placement if n.endswith("u_written"))
    entry = routed.netlist["cells"][name]
    turned = {**entry["connections"], "WEA": entry["connections"]["DIADI"][:2]}
    changed = {**routed.netlist, "cells": {**routed.netlist["cells"], name: {**entry, "connections": turned}}}
    assert any("pin WEA" in text for text in routed.read(routed.files.bit, changed).differences)
    with pytest.raises(Contradiction, match="written in parts of a word"):
        block_rams.read("r", 1, set(), lambda wire: "s" if wire.endswith("WEA1") else str(int("RST" in wire)), str)
    driver = {"WEA0": "t", "WEA1": "s", "WEA2": "s", "WEA3": "s"}
    block_rams.read(
        "r",
        1,
        set(),
        lambda wire: driver.get(wire[-4:], str(int("RST" in wire))),
        lambda signal: {"t": "s"}.get(signal, signal),
    )


def test_an_exchanged_pin_is_told(routed):
    """The netlist's own pins turned: the bits no longer are that netlist."""
    (cell,) = (n for n in routed.netlist["cells"] if n.endswith("u_b"))
    entry = routed.netlist["cells"][cell]
    pins = {**entry["connections"], "I0": entry["connections"]["I1"], "I1": entry["connections"]["I0"]}
    changed = {**routed.netlist, "cells": {**routed.netlist["cells"], cell: {**entry, "connections": pins}}}
    (text,) = routed.read(routed.files.bit, changed).differences
    assert text.startswith("dense_0 neuron 3: ") and "exchanged pins" in text


def test_settings_of_flip_flops_are_compared(routed):
    for cell, gone, said in (("u_q1", "ZRST", "set or reset"), ("u_q0", "ZINI", "starts as 1"), ("u_q1", "", "pin CE")):
        place = place_of(routed, cell)
        kinds = [f"SLICE{k}_{place.slice}." for k in "LM"]
        lines = routed.files.fasm.splitlines()
        wanted = "CEUSEDMUX" if not gone else f"{place.bel}.{gone}"
        targets = [f"{place.tile}.{kind}{wanted}" for kind in kinds]
        present = [line for line in lines if line in targets]
        changed = [line for line in lines if line not in targets] if present else [*lines, targets[0]]
        try:
            bits = assemble(features(changed), routed.database).bits
        except ReportError:
            bits = assemble(features([*lines, targets[1]]), routed.database).bits
        assert any(cell in text and said in text for text in routed.with_bits(bits).differences), (cell, gone)


def test_settings_without_effect_are_told_too(routed):
    place = place_of(routed, "u_q2")  # has no reset, so what a reset would give is without effect
    known = {f for f in decode_all(routed)[place.tile] if f"_{place.slice}.{place.bel}.ZRST" in f}
    (feature,) = known
    bits = routed.bits - assemble([f"{place.tile}.{feature}"], routed.database).bits
    (text,) = routed.with_bits(bits).differences
    assert "without effect" in text


def test_ways_out_of_what_was_placed_may_lead_nowhere():
    """Of a chain, a LUT, a second flip-flop; in a slice where none lies, they are told."""
    features = ["COUTMUX.XOR", "AOUTMUX.CY", "BOUTMUX.O5", "DOUTMUX.D5Q", "CARRY4.ACY0", "PRECYINIT.CIN", "AFFMUX.AX"]
    cells = {bel: PlacedCell(bel, "T", "X0", bel) for bel in ("CARRY4", "B5LUT", "D5FF")}

    def told(place, placement):
        return [t.split()[3][:-1] for t in _idle(SimpleNamespace(idle=[(place, f) for f in features]), placement)]

    assert told("T.X0", cells) == ["AFFMUX.AX"] and told("T.X1", cells) == features
    assert told("T.X0", {"B5LUT": cells["B5LUT"]}) == [f for f in features if f != "BOUTMUX.O5"]


def test_damaged_files_are_refused(routed):
    bit = bytearray(routed.files.bit)
    for change, said in (
        (lambda b: b[:5], "begin as a .bit file"),
        (lambda b: b[:-4], "announces"),
        (lambda b: b.replace(b"xc7z020clg400-1", b"xc7z010clg400-1"), "is for xc7z010clg400-1"),
        (lambda b: b[:60], "header is cut"),
    ):
        with pytest.raises(ReportError, match=said):
            routed.read(bytes(change(bytes(bit))))
    start = bytes(bit).index(bytes.fromhex("aa995566"))
    nonzero = next(i for i in range(start + 400, len(bit)) if bit[i])
    bit[nonzero] ^= 0x10
    (text,) = routed.read(bytes(bit)).differences
    assert "ECC" in text


def test_the_container_is_that_of_project_x_rays_tools(routed, tmp_path):
    """Byte for byte behind the header, where its program is installed; and the .bin is the same, words turned."""
    program = Path(nextpnr.locate()).with_name("xc7frames2bit")
    if not program.is_file():
        pytest.skip(f"{program} is not there")
    rows = (f"{a:#010x} {','.join(f'{w:#010x}' for w in words)}\n" for a, words in frames.of_bits(routed.bits).items())
    (tmp_path / "frames").write_text("".join(rows))
    part = routed.database.family / routed.database.part / "part.yaml"
    process.run(
        [str(program), "--part_file", str(part), "--part_name", routed.database.part, "--frm_file", "frames",
         "--output_file", "theirs.bit"], tmp_path, tmp_path / "log", 60,
    )  # fmt: skip
    theirs, mark = (tmp_path / "theirs.bit").read_bytes(), bytes.fromhex("000000bb11220044")
    assert routed.files.bit[routed.files.bit.index(mark) :] == theirs[theirs.index(mark) :]
    turned = container.bin_file(routed.files.bit)
    assert bytes.fromhex("665599aa") in turned[:64] and len(turned) % 4 == 0


def test_unknown_and_contradicting_features_make_no_bitstream(database):
    tile = next(name for name, tile in database.tiles.items() if tile.kind == "CLBLL_L")
    with pytest.raises(ReportError, match=r"lacks 1 features .CLBLL_L_X2Y10.SLICEL_X0.EFF"):
        assemble(["CLBLL_L_X2Y10.SLICEL_X0.EFF"], database)
    with pytest.raises(ReportError, match="exclude each other"):
        assemble([f"{tile}.SLICEL_X0.AFFMUX.AX", f"{tile}.SLICEL_X0.AFFMUX.CY"], database)
    with pytest.raises(ReportError, match="line 1 of the FASM has more bits"):
        list(features(["A.INIT[3:0] = 4'b10101"]))
    with pytest.raises(ReportError, match="line 2 of the FASM is not FASM"):
        list(features(["A.B", "A B"]))
    assert list(features(["A.INIT[5:2] = 4'b1001  # a comment", "", "X[03]", "Y = 1"])) == [
        "A.INIT[2]", "A.INIT[5]", "X[3]", "Y",
    ]  # fmt: skip


def test_what_cannot_be_read_back_is_refused_before_routing():
    for kind in ("URAM288", "DSP48E2", "SRL16E", "RAM128X1D"):
        with pytest.raises(ReportError, match=f"a bitstream with {kind} .u_x. cannot be read back"):
            refuse_unreadable({"cells": {"u_x": {"type": kind}}})
    for kind, parameters, nets, said in (
        ("RAMB36E1", {"READ_WIDTH_A": "1001"}, {}, "READ_WIDTH_A=9, which nextpnr sets up wrong"),
        ("RAMB18E1", {"WRITE_WIDTH_A": 18}, {"WEA": [2, 3]}, "enables for parts of a word at port A"),
        ("RAMB18E1", {}, {"RSTRAMB": [2]}, "an input RSTRAMB"),
        ("RAMB18E1", {"DOA_REG": 1}, {}, "DOA_REG=1"),
        ("DSP48E1", {"USE_SIMD": "FOUR12"}, {}, "USE_SIMD=FOUR12"),
        ("DSP48E1", {}, {"BCIN": ["0", 2]}, "an input BCIN"),
    ):
        cell = {"type": kind, "parameters": parameters, "connections": nets,
                "port_directions": dict.fromkeys(nets, "input")}  # fmt: skip
        with pytest.raises(ReportError, match=f"a bitstream with {kind} with {re.escape(said)} .u_x. cannot be read"):
            refuse_unreadable({"cells": {"u_x": cell}})
    refuse_unreadable({"cells": {"u_x": {"type": "LUT6_2"}, "u_y": {"type": "FDPE"}}})


def test_a_database_that_is_not_there_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv(prjxray.VARIABLE, str(tmp_path))
    with pytest.raises(ToolNotFound, match="holds no folder zynq7"):
        prjxray.locate()
    with pytest.raises(ReportError, match="has no xc7z020clg400-1, only other devices"):
        Database(tmp_path, "xc7z020clg400-1", "xc7z020")
    (tmp_path / "xc7z020clg400-1").mkdir()
    (tmp_path / "xc7z020clg400-1" / "part.json").write_text('{"idcode": 1}')
    with pytest.raises(ReportError, match=r"global_clock_regions.* is missing; run scripts/install_nextpnr.sh"):
        _ = Database(tmp_path, "xc7z020clg400-1", "xc7z020").idcode


def test_a_build_goes_to_the_bitstream_and_back(database, tmp_path, monkeypatch):
    """As a user asks for it; then with a bit of a LUT lost on the way into the file."""
    (tmp_path / "design.json").write_text(to_json(one_neuron()))
    asked = ["--model", "design.json", "--engines", "integer", "--vectors", "50", "--bitstream"]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads(Path("build/report.json").read_text())
    entry, found = report["verification"]["bitstream"], report["bitstream"]
    assert entry["vectors"] >= 10_000 and entry["mismatches"] == 0 == found["differences"]
    assert {links["netlist-bitstream"] for links in report["proof"].values()} == {"proved"}
    manifest = json.loads(Path("build/bitstream/manifest.json").read_text())
    assert manifest["files"][Path(found["file"]).name] == found["sha256"] and manifest["idcode"] == "0x03727093"
    assert "which layer lies where" in Path("build/report.html").read_text()

    def one_bit_less(names, database):
        names = list(names)
        lut = next(name for name in names if "LUT.INIT[" in name)
        return Assembled(assemble(names, database).bits - assemble([lut], database).bits, len(names))

    # the comparison alone has to find it, which also spares a Verilator model
    monkeypatch.setattr(engine, "_simulated", lambda made, *rest: EngineResult("native", 16, 0, 0.0))
    monkeypatch.setattr(files, "assemble", one_bit_less)
    monkeypatch.setattr(engine, "_VERSION", "with the fault")
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 3 and "engine bitstream: " in done.output and "has " in done.output
    report = json.loads(Path("build/report.json").read_text())
    assert report["status"] == "mismatch" and report["bitstream"]["differences"] > 0
    assert "refuted" in {links["netlist-bitstream"] for links in report["proof"].values()}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["streamed", "folded"])
def test_what_a_board_never_keeps_waiting_goes_behind_its_processor_and_back(kind, database, tmp_path):
    """Cores whose out_ready is tied to 1 there, with a memory in LUTs beside the logic of the board."""
    folder, words = tmp_path, ["--architecture", "folded"]
    design, inputs = one_neuron(), (Quantizer.saturating(Fixed(True, 3, 1)),)
    if kind == "streamed":
        neurons = tuple(
            Neuron(w, 0, 2.0, output=Quantizer.saturating(Fixed(False, 2, 0))) for w in ((1, -1, 0) * 3, (0, 1, 1) * 3)
        )
        end = Layer("end", (Neuron((1, -1) * 16, 0, 2.0),))
        window = Window((4, 4, 1), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
        nodes = (Node("slide", "dense", (-1,), window), Node("end", "dense", (0,), Window.whole((4, 4, 2))))
        design, words = finish(Design("one", inputs * 16, (Layer("slide", neurons), end), "logits", {}, nodes)), []
    (folder / "design.json").write_text(to_json(design))
    asked = ["--model", str(folder / "design.json"), "--engines", "integer", "--vectors", "50", "--bitstream", *words]
    asked += ["--part", "pynq-z2", "--shell", "pynq", "--out", str(folder / "build")]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    checks = json.loads((folder / "build/report.json").read_text())["verification"]
    assert checks["bitstream"]["vectors"] >= 10_000
    assert checks["bitstream"]["mismatches"] == checks["board"]["mismatches"] == 0


def test_pins_of_a_memory_that_nobody_reads_are_not_part_of_the_core():
    """They are wires of the slice, and carry what the flip-flops beside it get."""
    flip_flop = Cell("FDRE", {"INIT": 0}, {"D": ("x",), "CE": ("1",), "R": ("0",), "C": ("clk",)}, {"Q": ("foreign",)})
    addresses = {f"ADDR{x}": ("a",) * 4 + ("0",) + ("foreign" if x == "C" else "0",) for x in "ABCD"}
    data = {f"DI{x}": ("d",) if x == "A" else ("foreign",) for x in "ABCD"}
    pins = {**addresses, **data, "WE": ("1",), "WCLK": ("clk",)}
    memory = Cell("RAM64M", {}, pins, {f"DO{x}": (f"o{x}",) for x in "ABCD"})
    recovered = Recovered({"ff": flip_flop, "ram": memory})
    inputs = {"clk": "clk", "a": "a", "d": "d"}
    assert set(_behind({"oA"}, inputs, recovered)) == {"ram"}
    assert set(_behind({"oA", "oB"}, inputs, recovered)) == {"ram", "ff"}


def one_neuron():
    """Two inputs of three bits, one neuron."""
    inputs = (Quantizer.saturating(Fixed(True, 3, 1)),) * 2
    return finish(Design("one", inputs, (Layer("dense_0", (Neuron((1, -3), 1, 3.0),)),)))


def test_the_picture_names_layers_and_escapes_them():
    text = svg({"columns": 9, "rows": 4, "layers": {"<b>": [[3, 2]], "": [[0, 0], [1, 0]]}})
    assert "&lt;b&gt;: 1 slices" in text and "M3 4h1v2h-1z" in text and "<b>" not in text


def test_ecc_is_a_hamming_code_over_the_frame():
    words = frames.of_bits([(0, 5)])[0]
    assert frames.ecc(words) != frames.ecc(frames.of_bits([(0, 6)])[0]) != 0
    again = frames.with_ecc(frames.with_ecc(words))
    assert (again == frames.with_ecc(words)).all() and frames.bits_of({0: again}) == {0: {5}}


def test_a_cell_placed_without_contents_is_refused(database):
    cell = PlacedCell("u", "CLBLL_L_X2Y10", "X0", "A6LUT", 2, ((0,), (), (), (), (), ()))
    with pytest.raises(ReportError, match=r"leaves CLBLL_L_X2Y10.X0.ALUT empty"):
        with_true_tables([], {"u": cell}, {})
    assert with_true_tables([], {"u": replace(cell, table=0)}, {}) == ([], ())


def test_a_speed_grade_that_the_database_leaves_out_is_the_package_of_another(database):
    slow = Database(database.family, "xc7z020clg400-1L", "xc7z020")
    assert slow.idcode == database.idcode and slow.part == "xc7z020clg400-1L"
    with pytest.raises(ReportError, match="has no xc7z020clg999-1, only xc7z020clg400-1, "):
        Database(database.family, "xc7z020clg999-1", "xc7z020")
