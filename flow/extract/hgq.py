"""Stored layers of HGQ 1 and 2 as layers of `hgq_layers`: their settings and variables are read, HGQ never imported.

HGQ 1 saves proxies: ``FixedPointQuantizer`` layers between Keras layers whose weights already lie on grids. HGQ 2 saves
what it trained: float kernels beside the variables of their quantizers, which the reading here applies in float32 as
the library ``quantizers`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.fixed import MAX_BITS, MAX_FRAC, ROUNDINGS
from flow.extract.stored_layout import MODELS, Array, class_of

Weights = dict[str, tuple[Array, ...]]
Floats = NDArray[np.float32]
OVERFLOWS = ("SAT", "SAT_SYM", "WRAP")
_TRAINED = ("HDense", "HQuantize", "HActivation", "HDenseBatchNorm")
_FOLDED = "qkernel and qbias as kernel and bias"
_NORMALIZED = {
    "QBatchNormDense": _FOLDED,
    "QEinsumDenseBatchnorm": _FOLDED,
    "QBatchNormalization": "qscaler_and_qoffset, the scales as a diagonal kernel",
}
_FLAT = re.compile(r"(\.\.\.)?(\w)(\w),\3(\w)->(\.\.\.|\2)\4\Z|(\.\.\.)(\w),\7(\w)->\6\8\Z|(\w)(\w),\10(\w)->\9\11\Z")
_INPUT_BITS = 24  # of an unsigned signal that wraps: float32 holds no more


def as_plain(config: dict[str, Any], weights: Weights, is_numbered: bool) -> tuple[dict[str, Any], Weights]:
    """The configuration and weights with HGQ's layers replaced one by one; others are left as they are.

    ``is_numbered``: the weights are in the order of the format ``.keras``. Raises ModelError naming the layer.
    """
    inner = config.get("config")
    stored = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(stored, list) or not any(_is_hgq(entry) for entry in stored):
        return config, weights
    is_proxy = any(class_of(entry) == "FixedPointQuantizer" for entry in stored if isinstance(entry, dict))
    layers, found = [], dict(weights)
    for entry in stored:
        own = entry.get("config") if isinstance(entry, dict) else None
        if isinstance(own, dict) and isinstance(own.get("name"), str):
            entry, arrays = _layer(entry, own, weights.get(own["name"], ()), is_proxy, is_numbered)
            found[own["name"]] = arrays
        layers.append(entry)
    assert isinstance(inner, dict)
    return {**config, "config": {**inner, "layers": layers}}, found


def _is_hgq(entry: Any) -> bool:
    if not isinstance(entry, dict) or class_of(entry) in MODELS:
        return False
    return class_of(entry) in ("FixedPointQuantizer", "UnaryLUT", *_TRAINED) or _is_second(entry)


def _is_second(entry: Mapping[str, Any]) -> bool:
    """Whether a layer is one of HGQ 2's, some of which have the names of QKeras' layers."""
    module, registered = str(entry.get("module") or ""), str(entry.get("registered_name") or "")
    return module.split(".")[0] == "hgq" or registered.startswith("hgq>")


def _layer(
    entry: dict[str, Any], own: dict[str, Any], arrays: tuple[Array, ...], is_proxy: bool, is_numbered: bool
) -> tuple[dict[str, Any], tuple[Array, ...]]:
    kind, name = class_of(entry), own["name"]
    where = f"layer {name[:64]}"
    if kind in _TRAINED:
        raise ModelError(
            f"{where} ({kind}): a model in training of HGQ 1 does not store its signals' ranges; run HGQ's "
            "trace_minmax() on the training data and save the proxy that its to_proxy_model() makes"
        )
    if kind == "FixedPointQuantizer":
        settings = {"round_mode": own.get("RND", "TRN"), "overflow_mode": own.get("SAT", "WRAP")}
        _check_modes(where, *settings.values())
        return _entry(entry, "HGQQuantizer", settings), _proxy_format(where, arrays)
    if kind == "Dense" and is_proxy:
        return _entry(entry, "HGQDense", {}), arrays
    if kind == "UnaryLUT":
        raise ModelError(
            f"{where} (UnaryLUT) is an activation as a table, which is not read; make the proxy without "
            "unary_lut_max_table_size: then its Activation is read as it is"
        )
    if not _is_second(entry):
        return entry, arrays
    if not is_numbered:
        raise ModelError(f"{where} is HGQ 2's {kind}, whose quantizers are only read in the format .keras; save it so")
    if kind == "Quantizer":
        reader = _Reader(where, iter(arrays))
        modes, values = reader.signal(own.get("config"))
        if modes is None:
            raise ModelError(f"{where} is a Quantizer that does nothing; remove it")
        settings = {"round_mode": modes[0], "overflow_mode": modes[1]}
        return _entry(entry, "HGQQuantizer", settings), values
    if kind in ("QDense", "QEinsumDense"):
        return _dense(entry, own, arrays, where)
    if kind == "QUnaryFunctionLUT":
        return _activation(entry, own, arrays, where)
    if kind in _NORMALIZED:
        raise ModelError(
            f"{where} is HGQ 2's {kind}, whose folding its file does not hold; give a QDense in its place the values "
            f"of its {_NORMALIZED[kind]}"
        )
    raise ModelError(
        f"{where} is HGQ 2's {kind}, which is not read; QDense, QEinsumDense, QUnaryFunctionLUT and Quantizer are"
    )


def _entry(entry: dict[str, Any], kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    own = {**entry["config"], **settings}
    return {**entry, "class_name": kind, "module": None, "registered_name": None, "config": own}


def _check_modes(where: str, rounding: Any, overflow: Any) -> None:
    if rounding not in ROUNDINGS or overflow not in OVERFLOWS:
        raise ModelError(
            f"{where} rounds by {rounding!r:.20} and treats overflow by {overflow!r:.20}; {', '.join(ROUNDINGS)} and "
            f"{', '.join(OVERFLOWS)} are known"
        )


def _proxy_format(where: str, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    """Sign, width and fraction bits of every element of an HGQ 1 quantizer."""
    if len(arrays) != 3 or any(a.dtype.kind not in "iu" for a in arrays):
        raise ModelError(f"{where} does not store keep_negative, bits and integers; save the proxy again")
    signed, bits, integers = (a.astype(np.int64) for a in arrays)
    return _checked(where, np.where(bits > 0, signed, 0), bits, np.where(bits > 0, bits - integers, 0))


def _checked(where: str, signed: Array, bits: Array, frac: Array) -> tuple[Array, ...]:
    if ((signed != 0) & (signed != 1)).any() or (bits < 0).any() or (bits > MAX_BITS).any():
        raise ModelError(f"{where} has a width outside 0..{MAX_BITS}; save the model again")
    if (np.abs(frac) > MAX_FRAC // 4).any():
        raise ModelError(f"{where} has fraction bits outside -{MAX_FRAC // 4}..{MAX_FRAC // 4}; save the model again")
    return tuple(a.astype(np.int32) for a in (signed, bits, frac))


def _dense(
    entry: dict[str, Any], own: dict[str, Any], arrays: tuple[Array, ...], where: str
) -> tuple[dict[str, Any], tuple[Array, ...]]:
    """A QDense or QEinsumDense of HGQ 2: what its predictions multiply by, and the quantizers of its signals."""
    reader = _Reader(where, iter(a for a in arrays if a.ndim))
    is_einsum = class_of(entry) == "QEinsumDense"
    has_bias = bool(own.get("bias_axes")) if is_einsum else bool(own.get("use_bias", True))
    if is_einsum and not _FLAT.match(str(own.get("equation"))):
        raise ModelError(f"{where} computes {own.get('equation')!r:.40}, no plain matrix product; use QDense")
    kernel, *bias = (reader.floats() for _ in range(1 + has_bias))
    if kernel.ndim != 2 or any(b.shape != kernel.shape[1:] for b in bias):
        raise ModelError(f"{where} has a kernel of shape {kernel.shape}; only plain matrix products become hardware")
    iq, iq_values = reader.signal(own.get("iq_conf")) if own.get("enable_iq") else (None, ())
    constants = [reader.constant(own.get("kq_conf"), kernel)]
    constants += [reader.constant(own.get("bq_conf"), b) for b in bias]
    oq, oq_values = reader.signal(own.get("oq_conf")) if own.get("enable_oq") else (None, ())
    settings = {"units": kernel.shape[1], "use_bias": has_bias, "iq": iq, "oq": oq}
    return _entry(entry, "HGQDense", settings), (*constants, *iq_values, *oq_values)


def _activation(
    entry: dict[str, Any], own: dict[str, Any], arrays: tuple[Array, ...], where: str
) -> tuple[dict[str, Any], tuple[Array, ...]]:
    """A QUnaryFunctionLUT of HGQ 2: the quantizers around a function of each value."""
    reader = _Reader(where, iter(a for a in arrays if a.ndim))
    iq, iq_values = reader.signal(own.get("iq_conf")) if own.get("enable_iq") else (None, ())
    oq, oq_values = reader.signal(own.get("oq_conf")) if own.get("enable_oq") else (None, ())
    return _entry(entry, "HGQActivation", {"iq": iq, "oq": oq}), (*iq_values, *oq_values)


class _Reader:
    """Takes a layer's variables in the order in which Keras 3 stores them."""

    def __init__(self, where: str, arrays: Iterable[Array]) -> None:
        self.where, self.arrays = where, list(arrays)

    def floats(self) -> Floats:
        """The next variable, a float one."""
        return np.asarray(self._next("f"), np.float32)

    def _next(self, kinds: str) -> Array:
        array = self.arrays.pop(0) if self.arrays else None
        if array is None or array.dtype.kind not in kinds:
            raise ModelError(f"{self.where} does not store the variables of its quantizers in order; save it again")
        return array

    def signal(self, config: Any) -> tuple[list[str] | None, tuple[Array, ...]]:
        """Modes and formats of a signal's quantizer; None and nothing for one that does nothing."""
        settings = self._settings(config)
        if settings is None:
            return None, ()
        rounding, overflow = _modes(settings)
        _check_modes(self.where, rounding, overflow)
        signed, integer, frac = self._kif(settings)
        live = signed + integer + frac > 0
        signed, bits = np.where(live, signed, 0), np.where(live, signed + integer + frac, 0)
        if overflow == "WRAP" and ((signed == 0) & (bits > _INPUT_BITS)).any():
            raise ModelError(f"{self.where} wraps into more than {_INPUT_BITS} bits, which float32 does not hold")
        return [rounding, overflow], _checked(self.where, signed, bits, np.where(live, frac, 0))

    def constant(self, config: Any, values: Floats) -> Floats:
        """A kernel or bias as predictions use it."""
        settings = self._settings(config)
        if settings is None:
            return values
        rounding, overflow = _modes(settings)
        _check_modes(self.where, rounding, overflow)
        free = bool(settings.get("is_weight")) and bool(settings.get("trainable", True)) and overflow == "WRAP"
        free &= rounding == "RND" or settings.get("q_type") == "kif"
        return quantized_constant(values, *self._kif(settings), rounding, "" if free else overflow)

    def _settings(self, config: Any) -> dict[str, Any] | None:
        settings = config.get("config") if isinstance(config, dict) else None
        if not isinstance(settings, dict):
            raise ModelError(f"{self.where} does not store the settings of its quantizers; save the model again")
        if settings.get("q_type") == "dummy":
            return None
        unknown = [key for key in ("scaler", "affine", "bw_mapper") if settings.get(key) is not None]
        if settings.get("q_type") not in ("kbi", "kif") or unknown:
            what = f"a {unknown[0]}" if unknown else f"the type {settings.get('q_type')!r:.20}"
            raise ModelError(f"{self.where} has a quantizer with {what}; use kbi or kif without scaler or affine")
        return settings

    def _kif(self, settings: dict[str, Any]) -> tuple[Array, Array, Array]:
        """Sign, integer and fraction bits: those that were trained come first in the file, the last ones are whole."""
        is_wrap, is_kbi = _modes(settings)[1] == "WRAP", settings["q_type"] == "kbi"
        if is_wrap:  # the integer bits follow the data and are not trained
            trained, signed, integer = self.floats(), self._next("u"), self.floats()
        elif is_kbi:
            trained, integer, signed = self.floats(), self.floats(), self._next("u")
        else:
            integer, trained, signed = self.floats(), self.floats(), self._next("u")
        if not (np.isfinite(trained).all() and np.isfinite(integer).all()) or trained.shape != signed.shape:
            raise ModelError(f"{self.where} holds a width that is no number; train again with a smaller learning rate")
        whole = np.round(integer).astype(np.int64)
        fine = np.round(trained).astype(np.int64)
        return signed.astype(np.int64), whole, fine - whole if is_kbi else fine


def _modes(settings: Mapping[str, Any]) -> tuple[str, str]:
    """Rounding, at inference not by chance, and overflow."""
    return str(settings.get("round_mode")).upper().removeprefix("S_"), str(settings.get("overflow_mode")).upper()


def quantized_constant(values: Floats, k: Array, i: Array, f: Array, rounding: str, overflow: str) -> Floats:
    """float32 values as ``quantizers`` makes them: saturated, then rounded, or rounded, then wrapped."""
    one, live = np.float32(1), k + i + f > 0
    i = np.maximum(i, -f)
    scale, top = np.ldexp(one, f.astype(np.int32)), np.ldexp(one, i.astype(np.int32))
    found = values
    if overflow.startswith("SAT"):
        most = top - one / scale
        found = np.clip(found, -(most if overflow == "SAT_SYM" else top) * k.astype(np.float32), most)
    scaled = (found * scale).astype(np.float32)
    whole = np.round(scaled) if rounding == "RND_CONV" else np.floor(
        scaled + np.float32(0.5) if rounding == "RND" else scaled)  # fmt: skip
    found = (whole / scale).astype(np.float32)
    if overflow == "WRAP":
        turn = top * (one + k.astype(np.float32))
        half = turn / 2 * k.astype(np.float32)
        found = (np.mod(found + half, turn) - half).astype(np.float32)
    return np.where(live | (overflow == ""), found, np.float32(0)).astype(np.float32)
