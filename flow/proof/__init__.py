"""Proofs that one form of a design equals the next: data-flow graph, Verilog text, netlist."""
