"""Verilog of parallel and folded designs, and the description of its bench."""
