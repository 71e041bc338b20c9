"""What runs inside the simulators: the generic cocotb bench and the native harness for bulk runs."""
