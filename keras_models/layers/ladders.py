"""The widths that weights and activations may take where a layer is not told, by mode."""

from __future__ import annotations

from typing import Any

from keras_models.quantizers.precision import TERNARY, BitLadder

# mode -> (weight widths, weight start, activation widths, activation start)
DEFAULTS: dict[str, tuple[tuple[float, ...], float, tuple[int, ...], int]] = {
    "hardware": ((0, TERNARY, 3, 4, 5, 6, 8), 8, (0, 1, 2, 3, 4, 5, 6, 8), 8),
    "paper": ((1, 2, 4, 8), 1, (4, 8, 16), 4),
}


def ladders(mode: str, weights: tuple[Any, ...], activations: tuple[Any, ...]) -> tuple[BitLadder, BitLadder]:
    """The two ladders, a mode's defaults filling in what was not given (a start only with its own widths)."""
    weight_bits, weight_start, activation_bits, activation_start = DEFAULTS[mode]
    default_weights = (weight_bits, None, None, weight_start)
    default_activations = (activation_bits, None, None, activation_start)
    return _ladder(weights, default_weights, True), _ladder(activations, default_activations, False)


def _ladder(given: tuple[Any, ...], default: tuple[Any, ...], ternary: bool) -> BitLadder:
    bits, thresholds, temperature, start = given
    if start is None and (bits is None or default[3] in bits):
        start = default[3]
    return BitLadder(default[0] if bits is None else bits, thresholds, temperature, start, ternary=ternary)
