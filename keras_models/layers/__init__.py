"""Keras layers whose neurons learn their own precision."""
