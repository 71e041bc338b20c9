"""Runs hardware in simulators and compilers and compares it with the golden integers."""
