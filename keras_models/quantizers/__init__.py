"""Quantizers of learned precision, and their exact arithmetic."""
