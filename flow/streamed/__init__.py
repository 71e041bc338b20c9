"""Streamed networks: which core computes each layer, so that all keep one rate."""
