"""The hls4ml project of a design: standard layout, our grouped layers, a self-checking test bench. A pure function.

hls4ml writes into a folder of its own that is collected and removed; the stamp it would draw at random is a function
of the design, so equal designs give equal bytes.
"""

from __future__ import annotations

import tempfile
import warnings
from copy import copy
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import yaml
from hls4ml.model.graph import ModelGraph

from flow.core.design import Design, to_json
from flow.core.errors import DesignError
from flow.core.fixed import Ints
from flow.core.passes.names import hls_top
from flow.emit.hls import extension, stream
from flow.emit.hls.bench import bench, vectors_files
from flow.emit.hls.layer import Container, LayerInput, container
from flow.emit.hls.schedule import DEFAULT, HlsChoices, resolved
from flow.files.plan import Plan, digest

CLOCK_UNCERTAINTY = "12.5%"


def emit_hls(
    design: Design,
    part: str,
    backend: str = "Vitis",
    clock_period_ns: float = 5.0,
    vectors: Ints | None = None,
    namespace: str | None = None,
    chosen: HlsChoices = DEFAULT,
) -> Plan:
    """The project as file name -> content; ``part`` is the full device name, ``vectors`` input mantissas (n x inputs).

    The ``widths`` pass must have run. The vectors, if given, become the test bench's data. Raises DesignError for a
    backend other than Vitis or Vivado, UsageError for choices that do not fit the design.
    """
    with tempfile.TemporaryDirectory(prefix="nmp-hls-") as folder:
        output = str(Path(folder) / "project")
        files = collect(model_graph(design, part, backend, clock_period_ns, output, namespace, chosen), design)
    files[f"{hls_top(design)}_test.cpp"] = bench(design, hls_top(design), namespace, chosen.io_type)
    if vectors is not None:
        files.update(vectors_files(design, np.asarray(vectors, np.int64)))
    return dict(sorted(files.items()))


def model_graph(
    design: Design,
    part: str,
    backend: str,
    clock_period_ns: float,
    output: str,
    namespace: str | None = None,
    chosen: HlsChoices = DEFAULT,
) -> Any:
    """The hls4ml ModelGraph of a design; ``compile()`` and ``predict()`` work on real numbers as for any hls4ml model.

    Inputs of ``predict`` must already lie on each element's grid, as the host's input quantizer leaves them.
    """
    if backend not in extension.BACKENDS:
        raise DesignError(f"HLS backend {backend!r} is unknown; known: {', '.join(extension.BACKENDS)}")
    extension.register()
    entering = container(design.input_formats, "inputs")
    config = hls4ml.backends.get_backend(backend).create_initial_config(
        part=part,
        clock_period=clock_period_ns,
        clock_uncertainty=CLOCK_UNCERTAINTY,
        io_type=chosen.io_type,
        namespace=namespace,
        write_weights_txt=False,
    )
    config |= {"OutputDir": output, "ProjectName": hls_top(design), "Backend": backend}
    chosen, notes = resolved(design, chosen)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    names: dict[str, Any] = {stream.ENTRY: {"Precision": {"result": _ap_fixed(entering)}}}
    names |= {f"nmp_{name}": entry for name, entry in chosen.layers.items()}
    default = chosen.default
    config["HLSConfig"] = {
        "Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": default.reuse, "Strategy": default.strategy},
        "LayerName": names,
    }
    return ModelGraph.from_layer_list(config, layer_list(design))


def layer_list(design: Design) -> list[dict[str, Any]]:
    """The design as hls4ml's list of layer dictionaries."""
    layers = stream.layers_of(design) if design.nodes else _dense_layers(design)
    if design.head == "argmax":
        layers.append({"class_name": "NMPArgmax", "name": "argmax_head"})
    return layers


def _dense_layers(design: Design) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "name": stream.ENTRY, "input_shape": [len(design.inputs)]}
    ]
    for index, layer in enumerate(design.layers):
        layers.append(
            {
                "class_name": "NMPGroupedDense",
                "name": f"nmp_{layer.name}",
                "nmp_layer": layer,
                "nmp_input": LayerInput.of(design, index),
            }
        )
    return layers


def _ap_fixed(form: Container) -> str:
    return f"ap_{'' if form.signed else 'u'}fixed<{form.bits},{form.integer_bits}>"


def collect(model: Any, design: Design) -> dict[str, str | bytes]:
    """Let hls4ml write a project into its (temporary) output folder and return the files.

    The stamp is the design's, and the configuration file is written here: hls4ml would draw the one at random and
    import Keras, which takes seconds, for the other.
    """
    model.config.config["Stamp"] = digest({"design.json": to_json(design)})[:8]
    writer = copy(model.config.backend.writer)
    writer.write_yml = lambda _: None
    writer.write_hls(model)
    output = Path(model.config.get_output_dir())
    files: dict[str, str | bytes] = {}
    for path in sorted(p for p in output.rglob("*") if p.is_file()):
        files[path.relative_to(output).as_posix()] = path.read_bytes()
    files["hls4ml_config.yml"] = yaml.safe_dump({**model.config.config, "OutputDir": "."})
    # HLS scripts add this folder to the test bench, so it must exist.
    files.setdefault("firmware/weights/README.txt", "Weights of grouped layers are in ../parameters.h.\n")
    return files
