"""Hardware as text: what the flow emits, readable as Verilog and HLS C++."""
