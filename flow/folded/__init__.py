"""Folded layers: weights in memory, processing elements shared by neurons; choice of folds, proof."""
