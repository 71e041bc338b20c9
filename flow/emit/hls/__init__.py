"""The hls4ml project with grouped layers, its test bench and its options."""
