"""Lines for the user about what a design does otherwise than the model."""

from __future__ import annotations


def real_note(layer: str, runtime: str = "Keras") -> str:
    """The note about a scale that is not what float32 makes of it."""
    return (
        f"layer {layer}: scale and offset are taken as the real numbers that {runtime}'s float32 constants are; "
        f"{runtime} itself rounds every value"
    )


def left_out_note(layer: str, name: str, count: int) -> str:
    """The note about a function at the end that the design does not compute."""
    text = f"the {name} of layer {layer} is left out: the design ends in its logits"
    if count > 1:
        return text
    return text + {"sigmoid": ", and the class is 1 where the logit is above 0", "tanh": ""}.get(name, "")
