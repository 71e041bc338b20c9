"""Trainings of equal shape one after another, such as those of a search: what is compiled for the first serves all."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from keras_models.loop.stage import Part
from keras_models.training.fit import FitConfig, FitResult, fit, loop_for

if TYPE_CHECKING:
    import keras

    from keras_models.loop.compiled import Loop
    from keras_models.methods.catalog import Method

_KEPT = 4  # compiled loops, the last ones used
_loops: OrderedDict[str, tuple[Any, Loop]] = OrderedDict()


def warm_fit(
    model: keras.Model, method: Method, parts: Mapping[str, Part], task: str, config: FitConfig,
    on_compile: Callable[[], None] = lambda: None, **others: Any,
) -> FitResult:  # fmt: skip
    """`fit`, by a loop that an earlier call of the process has compiled for a model of equal layers."""
    key = _key(model, method, task, config, len(parts["train"]))
    found = _loops.pop(key, None)
    if found is None:
        on_compile()
        twin = type(model).from_config(model.get_config())
        twin.set_weights(model.get_weights())
        loop = loop_for(twin, method, parts, task, config)
    else:
        twin, loop = found
        twin.set_weights(model.get_weights())
        loop.take(*parts["train"])
    _loops[key] = twin, loop
    while len(_loops) > _KEPT:
        _loops.popitem(last=False)
    result = fit(twin, method, parts, task, config, loop=loop, **others)
    model.set_weights(twin.get_weights())
    return result


def _key(model: keras.Model, method: Method, task: str, config: FitConfig, columns: int) -> str:
    """All that a compiled loop depends on: layers, task, optimizer, and whether rows have weights."""
    import keras

    budgets = (config.lut_budget, config.mean_weight_bits, config.mean_activation_bits)
    charged = config.beta > 0 or any(budget is not None for budget in budgets)
    settings = [config.batch_size, config.optimizer, config.strength_rate, config.range_rate, charged]
    about = [keras.backend.backend(), model.get_config(), method.learns_bits, task, settings, columns]
    return json.dumps(_unseeded(about), sort_keys=True, default=str)


def _unseeded(value: Any) -> Any:
    """A configuration without the seeds of initializers, which say how a model starts and not what it is."""
    if isinstance(value, Mapping):
        return {key: _unseeded(entry) for key, entry in value.items() if key != "seed"}
    return [_unseeded(entry) for entry in value] if isinstance(value, list | tuple) else value
