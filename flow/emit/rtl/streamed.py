"""Streamed networks as Verilog: windows, cores and queues, wired by handshakes; a pixel per beat in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow.core.design import Design
from flow.core.errors import DesignError
from flow.core.fixed import Fixed
from flow.core.nodes import INPUT, Node
from flow.core.passes.names import verilog_top
from flow.emit.rtl.expressions import port_bits
from flow.emit.rtl.folded import emit_folded, results_inside
from flow.emit.rtl.verilog import Rtl, emit_parallel
from flow.emit.templates import render, static
from flow.parts.family import XC7, Family
from flow.streamed.cores import Core, in_block_ram, pixel_bits
from flow.streamed.queues import Queued
from flow.streamed.shapes import is_plain, is_whole, readers, two, zeros_around
from flow.streamed.timing import Edge, Pace

_SPARE = 2  # places beside those in a pipeline, so that it never waits at full rate


def core_rtl(cores: Sequence[Core], clock_period_ns: float, family: Family = XC7) -> dict[str, Rtl]:
    """The Verilog of each core, by layer."""
    return {core.design.layers[0].name: _core(core, clock_period_ns, family) for core in cores}


def _core(core: Core, clock_period_ns: float, family: Family) -> Rtl:
    if core.folding is not None:
        return emit_folded(core.folding, clock_period_ns, family)
    return emit_parallel(core.design, core.graphs, clock_period_ns, family)


def paces(design: Design, cores: Sequence[Core], rtls: Mapping[str, Rtl]) -> list[Pace]:
    """How each node moves, as `flow.streamed.timing` takes it."""
    found = []
    for number, node in enumerate(design.nodes):
        if node.kind != "dense":
            found.append(Pace(1, 1, 1))
            continue
        core, rtl = cores[design.layer_of(number)], rtls[node.name]
        if core.folding is None:  # from the pipeline into its queue takes a cycle
            found.append(Pace(1, rtl.latency_cycles + 1, rtl.latency_cycles + _SPARE))
        else:
            inside = results_inside(rtl.latency_cycles, core.interval)
            found.append(Pace(core.interval, rtl.latency_cycles, inside))
    return found


def emit_streamed(design: Design, cores: Mapping[str, Rtl], queues: Queued) -> Rtl:
    """Verilog of a streamed design around its ``cores``, by layer, with these queues between nodes."""
    top = _Top(design, cores, queues.places)
    own = top.text()
    files: dict[str, str] = {f"{name}.v": static(f"{name}.v") for name in sorted(top.used)}
    for rtl in cores.values():
        for name, text in rtl.files.items():
            if files.setdefault(name, text) != text:
                raise DesignError(f"two layers would both be written to {name}; give them other names")
    files[f"{top.module}.v"] = own
    slowest = max(rtl.critical_path_ns for rtl in cores.values())
    latencies = {name: rtl.latency_cycles for name, rtl in cores.items()}
    return Rtl(top.module, files, queues.timing.latency, latencies, slowest, queues.timing.interval, ready=True)


class _Top:
    """The top module, put together node by node."""

    def __init__(self, design: Design, cores: Mapping[str, Rtl], queues: Mapping[Edge, int]) -> None:
        self.design, self.cores, self.queues = design, cores, queues
        self.module = verilog_top(design)
        self.used: set[str] = set()
        self.lines: list[str] = []
        self.readers = readers(design)

    def text(self) -> str:
        """The module's text."""
        design, last = self.design, len(self.design.nodes) - 1
        self._forked(INPUT, "in_valid", "in_ready", "in_data")
        for number, node in enumerate(design.nodes):
            self._note("")
            self._note(f"// {node.name}: {_told(node)}")
            self._node(number, node)
            if number != last:
                self._forked(number, f"n{number}_valid", f"n{number}_ready", f"n{number}_data")
        self._note(f"assign out_valid = n{last}_valid;")
        self._note(f"assign n{last}_ready = out_ready;")
        self._note(f"assign out_data = n{last}_data;")
        return render(
            "stream_top.v.j2", design=design.name, module=self.module, lines=self.lines,
            pixels=design.nodes[0].window.pixel_count, results=design.nodes[last].window.count,
            input_bits=self._bits(INPUT), output_bits=self._bits(last),
        )  # fmt: skip

    def _note(self, line: str) -> None:
        self.lines.append(line)

    def _bits(self, number: int) -> int:
        """Width of a node's pixels on their way out."""
        if number == len(self.design.nodes) - 1 and self.design.head == "argmax":
            return max((len(self.design.output_formats) - 1).bit_length(), 1)
        return port_bits(tuple(span.format for span in self.design.spans(number)))

    def _forked(self, number: int, valid: str, ready: str, data: str) -> None:
        """A node's stream to each of its readers, through a queue each where there are several."""
        readers, bits = self.readers[number], self._bits(number)
        own = "in" if number == INPUT else f"n{number}"
        if len(readers) == 1 and (number, readers[0]) not in self.queues:
            name = f"{own}_{readers[0]}"
            self._note(f"wire {name}_ready;")
            self._note(f"wire {name}_valid = {valid};")
            self._note(f"wire [{bits - 1}:0] {name}_data = {data};")
            self._note(f"assign {ready} = {name}_ready;")
            return
        self.used.add("stream_fifo")
        free = " && ".join(f"{own}_{reader}_free" for reader in readers)
        for reader in readers:
            name = f"{own}_{reader}"
            self._note(f"wire {name}_free, {name}_valid, {name}_ready;")
            self._note(f"wire [{bits - 1}:0] {name}_data;")
            self._note(
                f"stream_fifo #(.BITS({bits}), .PLACES({self.queues[number, reader]})) u_{name} (.clk(clk), .rst(rst),"
            )
            self._note(f"    .in_valid({valid} && {ready}), .in_ready({name}_free), .in_data({data}),")
            self._note(f"    .out_valid({name}_valid), .out_ready({name}_ready), .out_data({name}_data));")
        self._note(f"assign {ready} = {free};")

    def _node(self, number: int, node: Node) -> None:
        entering = self._entering(number, node)
        seen = self._window(number, node, entering)
        bits = self._bits(number)
        self._note(f"wire n{number}_valid, n{number}_ready;")
        self._note(f"wire [{bits - 1}:0] n{number}_data;")
        if node.kind == "max":
            self._largest(number, node, seen)
        elif node.kind == "repeat":
            self._note(f"assign n{number}_valid = {seen}_valid;")
            self._note(f"assign {seen}_ready = n{number}_ready;")
            self._note(f"assign n{number}_data = {seen}_data;")
        else:
            self._layer(number, node, seen)

    def _entering(self, number: int, node: Node) -> str:
        """The stream that enters a node: that of its source, or those of several side by side, at once."""
        own = ["in" if s == INPUT else f"n{s}" for s in node.sources]
        names = [f"{name}_{number}" for name in own]
        if len(names) == 1:
            return names[0]
        joined, distinct = f"j{number}", list(dict.fromkeys(names))
        both = " && ".join(f"{name}_valid" for name in distinct)
        self._note(f"wire {joined}_ready;")
        self._note(f"wire {joined}_valid = {both};")
        parts = [f"{n}_data" for n, s in zip(names, node.sources, strict=True) if self._channels_bits(s)]
        total = max(pixel_bits(self.design, number), 1)
        self._note(f"wire [{total - 1}:0] {joined}_data = {{{', '.join(reversed(parts)) or _ZERO}}};")
        for name in distinct:
            self._note(f"assign {name}_ready = {joined}_ready && {joined}_valid;")
        return joined

    def _channels_bits(self, number: int) -> int:
        return sum(span.format.bits for span in self.design.spans(number))

    def _window(self, number: int, node: Node, entering: str) -> str:
        """The stream of what the node's window sees, by position: the prefix of its wires."""
        window = node.window
        bits = max(pixel_bits(self.design, number), 1)
        if is_plain(window):
            return entering
        name = f"w{number}"
        if window.repeats:
            self.used |= {"stream_repeat", "stream_lines"} if two(window.repeats)[0] > 1 else {"stream_repeat"}
            self._slid(f"stream_repeat #({self._times(node, bits)})", name, entering, f"{name}_data", bits)
            return name
        rows, cols = two(window.reach)
        taken = window.pixel_count if is_whole(window) else rows * cols
        if is_whole(window):
            self.used.add("stream_gather")
            module = f"stream_gather #(.BITS({bits}), .COUNT({taken}))"
        else:
            self.used |= {"stream_window", "stream_lines"}
            module = f"stream_window #({self._shape(node, bits)})"
        self._slid(module, name, entering, f"{name}_all", taken * bits)
        if max(window.dilation, default=1) > 1:
            self._note(f"wire {name}_unused = &{{1'b0, {name}_all}};  // pixels between those of the window")
        self._note(f"wire [{window.places * bits - 1}:0] {name}_data = {self._taps(node, name, bits)};")
        return name

    def _slid(self, module: str, name: str, entering: str, data: str, bits: int) -> None:
        """What stands between a stream and the node: its wires ``name``, of which ``data`` has so many bits."""
        self._note(f"wire {name}_valid, {name}_ready;")
        self._note(f"wire [{bits - 1}:0] {data};")
        self._note(f"{module} u_{name} (")
        self._note(f"    .clk(clk), .rst(rst), .in_valid({entering}_valid), .in_ready({entering}_ready),")
        self._note(f"    .in_data({entering}_data), .out_valid({name}_valid), .out_ready({name}_ready),")
        self._note(f"    .out_data({data}));")

    def _times(self, node: Node, bits: int) -> str:
        """Parameters of a repetition."""
        (down, across), (_, width) = two(node.window.repeats), two(node.window.shape[:-1])
        block = int(in_block_ram(node.window))
        return f".BITS({bits}), .WIDTH({width}), .DOWN({down}), .ACROSS({across}), .BLOCK({block})"

    def _shape(self, node: Node, bits: int) -> str:
        """Parameters of a window."""
        window = node.window
        height, width = two(window.shape[:-1])
        (top, bottom), (left, right) = zeros_around(window)
        rows, cols = two(window.reach)
        down, across = two(window.strides)
        values = {
            "BITS": bits, "HEIGHT": height, "WIDTH": width, "TOP": top, "BOTTOM": bottom, "LEFT": left, "RIGHT": right,
            "ROWS": rows, "COLS": cols, "DOWN": down, "ACROSS": across, "BLOCK": int(in_block_ram(window)),
        }  # fmt: skip
        return ", ".join(f".{key}({value})" for key, value in values.items())

    def _taps(self, node: Node, name: str, bits: int) -> str:
        """What the layer sees of the pixels under the window: all, or every so many."""
        window = node.window
        if set(window.dilation) <= {1}:
            return f"{name}_all"
        rows, cols = two(window.size)
        down, across = two(window.dilation)
        _, reach = two(window.reach)
        places = [r * down * reach + c * across for r in range(rows) for c in range(cols)]
        return "{" + ", ".join(f"{name}_all[{p * bits}+:{bits}]" for p in reversed(places)) + "}"

    def _layer(self, number: int, node: Node, seen: str) -> None:
        core = self.cores[node.name]
        total = sum(f.bits for f in self.design.formats_into(self.design.layer_of(number)))
        data = f"{seen}_data" if total else _ZERO
        if core.ready:
            self._note(f"{core.top} u_n{number} (.clk(clk), .rst(rst),")
            self._note(f"    .in_valid({seen}_valid), .in_ready({seen}_ready), .in_data({data}),")
            self._note(f"    .out_valid(n{number}_valid), .out_ready(n{number}_ready), .out_data(n{number}_data));")
            return
        self.used |= {"stream_collect", "stream_fifo"}
        bits = self._bits(number)
        self._note(f"wire c{number}_enter, c{number}_done;")
        self._note(f"wire [{bits - 1}:0] c{number}_result;")
        self._note(f"{core.top} u_n{number} (.clk(clk), .rst(rst),")
        self._note(f"    .in_valid(c{number}_enter), .in_data({data}),")
        self._note(f"    .out_valid(c{number}_done), .out_data(c{number}_result));")
        self._note(f"stream_collect #(.BITS({bits}), .PLACES({core.latency_cycles + _SPARE})) u_c{number} (")
        self._note(f"    .clk(clk), .rst(rst), .in_valid({seen}_valid), .in_ready({seen}_ready),")
        self._note(f"    .enter(c{number}_enter), .done(c{number}_done), .result(c{number}_result),")
        self._note(f"    .out_valid(n{number}_valid), .out_ready(n{number}_ready), .out_data(n{number}_data));")

    def _largest(self, number: int, node: Node, seen: str) -> None:
        self.used |= {"stream_max", "stream_register"}
        formats = [span.format for span in self.design.spans(number)]
        bits, pixel = self._bits(number), max(sum(f.bits for f in formats), 1)
        self._note(f"wire [{bits - 1}:0] m{number}_data;")
        offset = 0
        for channel, fmt in enumerate(formats):
            if fmt.bits:
                self._channel(number, node, seen, channel, fmt, offset, pixel)
            offset += fmt.bits
        if not offset:
            self._note(f"assign m{number}_data = {_ZERO};")
        self._note(f"stream_register #(.BITS({bits})) u_n{number} (.clk(clk), .rst(rst),")
        self._note(f"    .in_valid({seen}_valid), .in_ready({seen}_ready), .in_data(m{number}_data),")
        self._note(f"    .out_valid(n{number}_valid), .out_ready(n{number}_ready), .out_data(n{number}_data));")

    def _channel(self, number: int, node: Node, seen: str, channel: int, fmt: Fixed, offset: int, pixel: int) -> None:
        places = node.window.places
        values = ", ".join(f"{seen}_data[{p * pixel + offset}+:{fmt.bits}]" for p in reversed(range(places)))
        self._note(
            f"stream_max #(.BITS({fmt.bits}), .COUNT({places}), .SIGNED({int(fmt.signed)})) u_m{number}_{channel} ("
        )
        self._note(f"    .x({{{values}}}), .y(m{number}_data[{offset}+:{fmt.bits}]));")


_ZERO = "1'b0"


def _told(node: Node) -> str:
    """A node's window in words."""
    window = node.window
    by = " x ".join(map(str, window.size)) or "1"
    entering = " x ".join(map(str, window.shape))
    out = " x ".join(map(str, window.positions)) or "1"
    if window.repeats:
        return f"each pixel of {entering} {' x '.join(map(str, window.repeats))} times"
    what = "the largest of each channel" if node.kind == "max" else "a layer"
    return f"{what} at {out} positions of a window of {by} on {entering}"
