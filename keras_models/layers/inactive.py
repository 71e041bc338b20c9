"""Layers that do nothing at inference, by class name; known without importing Keras."""

from __future__ import annotations

INACTIVE = frozenset(
    "Dropout SpatialDropout1D SpatialDropout2D GaussianNoise GaussianDropout AlphaDropout Identity "
    "ActivityRegularization".split()
)
