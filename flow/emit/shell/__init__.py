"""The AXI-Stream shell around a core, and what a PYNQ board needs beside it."""
