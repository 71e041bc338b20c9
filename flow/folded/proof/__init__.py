"""Proves a folded layer from its Verilog: memory contents, order of work, output units and blocks."""
