"""Every addition that docs/extend.md shows is made to a copy of the project, and works."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from benchmarks.house import FOLDERS, ROOT
from flow.extract.mix import KINDS
from flow.extract.read import _READERS

PAGE = (ROOT / "docs" / "extend.md").read_text()


def changed(text: str, removed: list[str], added: list[str]) -> str:
    """A text with the one place that holds the lines before a change as they are after it."""
    old, new = "\n".join(removed), "\n".join(added)
    assert text.count(f"\n{old}\n") == 1, old
    return text.replace(f"\n{old}\n", f"\n{new}\n")


def applied(change: str, folder) -> None:
    """Make the changes of one fence: files after ``+++``, places after ``@@``, found by their text."""
    for name, places in re.findall(r"^\+\+\+ b/(\S+)\n((?:(?!--- ).*\n)*)", change, re.MULTILINE):
        path = folder / name
        for place in re.split(r"^@@.*\n", places, flags=re.MULTILINE)[1:]:
            lines = place.splitlines()
            after = [line[1:] for line in lines if line[:1] != "-"]
            if not path.exists():
                path.write_text("\n".join(after) + "\n")
            else:
                path.write_text(changed(path.read_text(), [line[1:] for line in lines if line[:1] != "+"], after))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    changes = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(changes) == 5
    for change in changes:
        applied(change, folder)
    return folder


def run(copy, code):
    environment = {**os.environ, "PYTHONPATH": f"{copy}:{ROOT / 'tests'}", "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


HARDWARE = """
from pathlib import Path
from builds import built
from strategies import random_design
from flow.build.architecture import choose
from flow.build.options import Options
from flow.core.design import to_json
from flow.parts.catalog import resolve
from flow.proof.text.prove import prove_text

design, part = random_design(5, max_size=6), resolve("xc6vlx75t")
hardware = choose(design, part, 10.0, "parallel")
rtl = hardware.rtl
assert any("primitives of Virtex-6 parts" in text for text in rtl.files.values())
assert prove_text(design, hardware.graphs, rtl.files, rtl.top, rtl.layer_latency_cycles) == []
Path("design.json").write_text(to_json(design))
build = built(Options(Path("design.json"), part, Path("build"), engines=("integer", "exact"), vectors=50))
result = build.verification["exact"]
assert result.agrees and result.vectors == 50
print(part.name, part.family.name, result.engine)
"""


def test_an_engine_and_a_part_family(copy):
    assert run(copy, HARDWARE).split() == ["xc6vlx75tffg484-1", "xc6v", "exact"]


MODELS = """
import keras, numpy as np, qkeras
from keras import ops
import flow
from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.api.designs import design_of
from keras_models.layers.activations import NMPInputQuantizer
from keras_models.layers.dense import NMPDense


class never_heard_of:
    bits, integer = 4, 2

    def __call__(self, x):
        return ops.clip(ops.floor(x * 4), 0, 15) / 4

    def get_config(self):
        return {}


class quantized_floor(never_heard_of):
    pass


def same(model):
    design = design_of(model)
    x = np.random.default_rng(0).uniform(-2, 2, (200, model.input_shape[-1])).astype("float32")
    outputs = to_float(evaluate(design, quantize_inputs(design, x)), design.output_formats)
    assert (outputs == model.predict(x, verbose=0)).all()
    return design


def network(*inside):
    bits = lambda: qkeras.quantized_bits(4, 1, 1, alpha=1)
    dense = lambda units: qkeras.QDense(units, kernel_quantizer=bits(), bias_quantizer=bits())
    first = qkeras.QActivation(qkeras.quantized_bits(6, 2, 1, alpha=1))
    layers = [layer or dense(4) for layer in inside]
    return keras.Sequential([keras.Input((6,)), first, *layers, dense(3)])


for activation in (never_heard_of(), quantized_floor()):
    quantizer = same(network(None, qkeras.QActivation(activation))).layers[0].neurons[0].output
    print(quantizer.rounding, quantizer.low, quantizer.high)
same(network(keras.layers.Normalization(axis=None, mean=0.5, variance=4.0)))
model = keras.Sequential([keras.Input((6,)), NMPInputQuantizer(), NMPDense(5, "relu", weights="even"), NMPDense(3)])
model.layers[0].adapt(np.random.default_rng(1).normal(size=(64, 6)).astype("float32"))
model.compile("adam", "mse")
model.fit(np.ones((64, 6), "float32"), np.zeros((64, 3)), epochs=1, verbose=0)
model.save("even.keras")
loaded = keras.saving.load_model("even.keras")
assert loaded.layers[1].weights_kind == "even" and loaded.layers[2].weights_kind == "symmetric"
weights = [abs(w) for neuron in same(loaded).layers[0].neurons for w in neuron.weights]
assert max(weights) <= 126
"""


def test_quantizers_and_a_layer(copy):
    assert '"Normalization": _normalization' in PAGE and "Normalization" not in KINDS | _READERS.keys()
    assert run(copy, MODELS).splitlines()[-2:] == ["TRN 0 15"] * 2
