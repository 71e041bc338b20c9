"""The integer design: formats, layers, ranges, and the golden integer arithmetic that all hardware must equal."""
