"""Synthesized netlists: reading, slices, usage by layer, timing, place and route."""
