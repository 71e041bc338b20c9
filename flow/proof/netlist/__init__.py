"""Proof that a synthesized netlist does what its Verilog says, from register to register."""
