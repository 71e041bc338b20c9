"""The fields of a build's ``report.json``, each with its kind; `flow.build.report` writes them.

Reports of earlier versions have fewer fields. A build that failed has its status, part, error and versions only.
"""

from __future__ import annotations

from flow.core.design_shape import SOURCE
from flow.core.shapes import ANY, Each, Fields, Kind, Maybe, Row, Table

_WORDS, _COUNTS, _LIST = Each(str), Table(int), Each(ANY)
_SCORE = Fields({"data": str, "metric": str, "rows": int, "value": float})
_COLUMNS: dict[str, Kind] = {"weight_bits": Each(float), "zero_weights": Each(int), "luts": Each(int),
            "accumulator": Each(Maybe(str)), "accumulator_range": Each(Row((float, float))),
            "output": Each(Maybe(str)), "rounding": Each(Maybe(str)), "name": Maybe(_WORDS)}  # fmt: skip
_PROFILE = Fields({
    "rows": int, "weights_by_bits": Each(int), "weights_at_end": int, "weights_of_them": int,
    "outputs_by_tenth": Each(int), "zeros": int, "saturated": Each(int),
})  # fmt: skip
_LAYER = Fields({
    "name": str, "inputs": int, "neurons": int, "groups": Each(Fields({"weight_bits": float, "neurons": int})),
    "mean_weight_bits": float, "mean_activation_bits": Maybe(float), "zero_weights": int, "weights": int,
    "accumulator_bits": Row((int, int)), "per_neuron": Fields(_COLUMNS), "proof": str,
    "luts": Maybe(Fields({"total": int, "shared": int, "parts": _COUNTS})), "profile": Maybe(_PROFILE),
})  # fmt: skip
_ENGINE = Fields({
    "vectors": int, "mismatches": int, "seconds": float, "vectors_per_second": Maybe(float),
    "build_seconds": Maybe(float), "problems": _WORDS, "note": str, "distinct_vectors": Maybe(int),
})  # fmt: skip
_ROUTE = Fields({
    "version": str, "seed": int, "attempts": Each(Fields({})), "used": _COUNTS, "lut_sites": _COUNTS,
    "clocks": Table(float), "pipelining": Each(Fields({})),
})  # fmt: skip
_PATH = Fields({"delay_ns": float, "levels": int, "endpoint": str, "through": _LIST})
_SYNTHESIS = Fields({
    "tool": str, "version": str, "lut": int, "ff": int, "dsp": int, "bram18": int, "uram": Maybe(int),
    "lut_cells": int, "lut_paired": int, "lut_placed": int, "lut_as_memory": int, "carry4": int, "inverters": int,
    "available": _COUNTS, "utilization": Table(float), "fits": bool, "fmax_mhz": Maybe(float), "fmax_source": str,
    "critical_path": _PATH, "paths": Each(_PATH),
    "meets_clock": Maybe(bool), "fmax_estimate_mhz": Maybe(float), "route": Maybe(_ROUTE),
})  # fmt: skip
_MEMORY = Fields({"depth": int, "width": int, "kind": str, "lut": int})
_GROUP = Fields({
    "coding": str, "neurons": int, "pe": int, "simd": int, "folds": int, "cycles": int, "multiplier": str,
    "bits_per_weight": float, "memory": _MEMORY, "busy": float, "lut": int, "why": _WORDS,
})  # fmt: skip
_FOLD = Fields({
    "name": str, "inputs": int, "inputs_per_cycle": int, "words": int, "folds": int, "cycles": int, "busy": float,
    "output_units": int, "buffer_vectors": int, "lut": int, "dsp": int, "groups": Each(_GROUP),
})  # fmt: skip
_FOLDING = Fields({
    "reason": str, "interval_cycles": int, "results_per_second": float, "memory_bits": int, "learned_bits": float,
    "estimate": Fields({"lut": int, "dsp": int, "fits": bool}), "layers": Each(_FOLD),
})  # fmt: skip
_NODE = Fields({
    "name": str, "kind": str, "sources": _WORDS, "shape": Each(int), "window": Each(int), "strides": Each(int),
    "padding": Each(Row((int, int))), "repeats": Each(int), "positions": Each(int), "channels": int, "core": str,
    "interval": int, "cycles": int, "buffer_bits": int, "lut": int, "bram18": int, "netlist_lut": Maybe(_COUNTS),
})  # fmt: skip
_STREAM = Fields({"cycles_per_image": int, "nodes": Each(_NODE), "queues": _COUNTS})
_BITSTREAM = Fields({
    "file": str, "sha256": str, "part": str, "idcode": str, "features": int, "bits": int, "frames": int,
    "lut_contents_corrected": _WORDS, "switches": int, "compared": _COUNTS, "differences": int,
    "placed": Fields({"columns": int, "rows": int, "layers": Table(Each(Row((int, int))))}), "seconds": Table(float),
})  # fmt: skip

_TARGET = Fields({
    "name": str, "mse": float, "mse_own_unit": Maybe(float), "mean_absolute_error": float, "bias": float,
    "points": Each(Row((float, float))),
})  # fmt: skip
_PREDICTIONS = Fields({
    "classes": Maybe(Fields({"names": _WORDS, "matrix": Each(Each(int)), "unknown": int})),
    "targets": Maybe(Each(_TARGET)),
})  # fmt: skip
_POWER = Fields({
    "pj_per_result": float, "mw": float, "clock_mhz": float, "results_per_second": float, "changes_per_cycle": float,
    "nets": int, "cycles": int, "vectors": str, "layers": Table(float), "source": str, "left_out": str, "factor": float,
})  # fmt: skip
_HISTORY = Fields({"names": _WORDS, "rows": Each(Each(Maybe(float)))})

BUILD = Fields({
    "schema": int, "status": str, "error": str, "design": str, "head": str, "part": str, "clock_period_ns": float,
    "architecture": str, "architecture_reason": str, "rtl_engine": str, "latency_cycles": int,
    "layer_latency_cycles": _COUNTS, "initiation_interval": int, "estimated_critical_path_ns": float,
    "proof": Table(Table(str)), "undecided": _WORDS, "layers": Each(_LAYER), "verification": Table(_ENGINE),
    "inputs": Fields({"format": _WORDS, "range": Each(Row((float, float))), "rounding": _WORDS,
                      "name": Maybe(_WORDS)}),
    "synthesis": _SYNTHESIS, "skipped": Table(str), "score": _SCORE, "keras_score": Maybe(_SCORE),
    "preprocessing": str, "classes": Maybe(Each(int)), "class_names": Maybe(_WORDS),
    "warnings": _WORDS, "notes": _WORDS, "training": Fields({"history": _HISTORY}),
    "predictions": Maybe(_PREDICTIONS), "power": Maybe(_POWER), "profiled": str, "files": Table(str),
    "model": Table(str), "command": _WORDS, "differences": _WORDS, "source": SOURCE, "versions": Table(str),
    "seconds": Table(float), "adders": _COUNTS, "least_sites": Maybe(_COUNTS), "engines": Table(str),
    "folding": Maybe(_FOLDING), "stream": Maybe(_STREAM),
    "hls_project": Maybe(Fields({"io_type": str, "layers": Table(_LIST), "notes": _WORDS})),
    "shell": Maybe(Fields({"kind": str, "top": str, "registers": Table(_LIST), "synthesis": Maybe(_COUNTS)})),
    "netlist_proof": Maybe(Fields({"cones": int, "proved": int, "refuted": int, "undecided": int, "seconds": float})),
    "bitstream": Maybe(_BITSTREAM),
    "vendor": Maybe(Fields({"tool": str, "steps": Table(Fields({}))})),
    "xls": Maybe(Fields({"latency_cycles": int, "compile_seconds": float, "delay_model": str})),
    "quantization": Maybe(Fields({
        "method": str, "calibrated_on": str, "input_format": Maybe(str), "noise": Maybe(float),
        "mean_weight_bits": float, "mean_activation_bits": Maybe(float), "mean_input_bits": float,
        "float_score": Maybe(Fields({})),
    })),
})  # fmt: skip
