"""From a routed design to the bitstream of a 7-series part, and from the bitstream back to its netlist."""
