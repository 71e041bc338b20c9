"""Model files that others published, built as they are: ``python benchmarks/published.py [NAME ...]``.

Each file is built for xc7z020 with every engine that its size allows, its own runtime (Keras, qkeras or qonnx) among
them, or refused; what came of it goes to RESULTS.md. The files are not part of the project: ``--models`` names their
folder. Work goes to ``benchmarks/work`` (or ``--work``); a second run reuses what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from results_file import table, write_section

from keras_models.data.loaders import find

JETS, JETS_HDF, JETS_RAW, DIGITS, IRIS = "jets", "jets_gqwzt", "jets_gqwzt_raw", "mnist_unit", "iris_standardised"
BYTES = ["--input-format", "u8.8"]
FORMAT = ["--input-format", "ap_fixed<16,6>"]
# what the submission's own hls4ml_config.yml says: mel energies in dB are beyond what ap_fixed<16,6> holds
AUDIO = ["--input-format", "ap_fixed<8,8>", "--architecture", "folded", "--results-per-second", "53365"]
# what a user adds, where the file does not say it: an input format, data, --quantize for float models
OPTIONS: dict[str, list[str]] = {
    "hgq_jet_classifier.h5": ["--data", JETS_HDF],
    "iris_float.h5": ["--quantize", "--data", IRIS],
    "autoencoder_cnn.h5": ["--quantize", "--vectors", "10"],  # a stream: it is too large unrolled
    # as streams; RN07, RN06 and more images of each: benchmarks.streamed
    "binary_cnn_w1a2.h5": [*BYTES, "--architecture", "streaming", "--vectors", "20"],
    "qkeras_mnist_cnn.h5": [*BYTES, "--architecture", "streaming", "--initiation-interval", "20000", "--vectors", "20"],
    "jettagger_conv2d_small.h5": ["--quantize", "--architecture", "streaming", "--vectors", "20"],
    "keras_conv1d_small.h5": ["--quantize"],
    "keras_3layer.h5": ["--quantize", "--data", JETS_RAW],
    "keras_3layer_batch_norm.h5": ["--quantize", "--data", JETS_HDF],
    # its netlist takes hours to simulate and to prove
    "kws_w3a3_qonnx.onnx": ["--architecture", "folded", "--vectors", "100", "--engines", "integer,hls,verilator"],
    "mlp_cardio.h5": FORMAT,
    "mlp_har_pruned.h5": FORMAT,
    "mlperf_tiny_ad03.h5": AUDIO,
    "mlperf_tiny_ad08.h5": AUDIO,
    "qkeras_3layer.h5": [*FORMAT, "--data", JETS],
    "qkeras_mnist_dense.h5": ["--data", DIGITS],
    "three_layer_bn_pytorch.onnx": ["--quantize"],
    "three_layer_keras.onnx": ["--quantize", "--data", JETS_RAW],
    "tutorial_keras_2_1.h5": ["--quantize"],
}
PLACES = np.array([0, 1, 4, 2, 3])  # of the classes g, q, t, w, z where a file's outputs are g, q, w, z, t


def data_files(work: Path) -> dict[str, Path]:
    """Data in the form that the models were trained on.

    Jets: OpenML's are in the order g, q, t, w, z of classes; those of the HDF5 files that came before it, and of the
    models trained on these, in g, q, w, z, t. Features standardised, or as they are. Digits in 0 to 1; iris
    standardised.
    """
    from sklearn.datasets import load_iris
    from sklearn.preprocessing import StandardScaler

    def save(name: str, x: Any, y: Any, split: Any) -> Path:
        path = work / f"{name}.npz"
        if not path.is_file():
            np.savez(path, X=np.asarray(x, np.float32), y=y, split=split)
        return path

    jets, mnist = (np.load(find(name)) for name in ("jsc_hlf_1k", "mnist"))
    x, y = load_iris(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    turns = np.random.default_rng(0).permutation(len(y)) % 5
    return {
        JETS: save(JETS, jets["X_standardised"], jets["y"], jets["split"]),
        JETS_HDF: save(JETS_HDF, jets["X_standardised"], PLACES[jets["y"]], jets["split"]),
        JETS_RAW: save(JETS_RAW, jets["X"], PLACES[jets["y"]], jets["split"]),
        DIGITS: save(DIGITS, mnist["X"] / np.float32(255), mnist["y"], mnist["split"]),
        IRIS: save(IRIS, x, y, np.where(turns == 0, 2, turns == 1)),
    }


def build(model: Path, work: Path, data: dict[str, Path], engines: str | None) -> list[str]:
    """The file's row: what was added, and what the build found or why it refused."""
    added = [*OPTIONS.get(model.name, []), *(["--engines", engines] if engines else [])]
    asked = [str(data.get(word, word)) for word in added]
    shown = " ".join(w if w.startswith("--") else f"`{w}`" for w in added)
    out = work / "published" / model.name
    done = subprocess.run(
        [sys.executable, "-m", "flow.build", "--model", str(model), "--part", "xc7z020", "--out", str(out), *asked],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        line = next((li for li in done.stderr.splitlines() if li.startswith("error: ")), "")
        if not line and (out / "report.json").is_file():
            line = "NOT EXACT: " + "; ".join(json.loads((out / "report.json").read_text())["differences"])
        return [model.name, shown, line.replace(f"{model}: ", "").replace(str(model), model.name), *[""] * 8]
    report = json.loads((out / "report.json").read_text())
    checks, used = report["verification"], report["synthesis"]
    scores = [f"{s['value']:.4f}" if s else "" for s in (report.get("score"), report.get("keras_score"))]
    return [
        model.name,
        shown,
        f"exact: {', '.join(checks)}",
        f"{(checks.get('keras') or checks['qonnx'])['vectors']:,}",
        str(sum(c["mismatches"] for c in checks.values())),
        " / ".join(s for s in scores if s),
        report["architecture"],
        f"{used['lut']:,}",
        f"{used['bram18']} / {used['dsp']}",
        f"{report['latency_cycles']} / {report['initiation_interval']}",
        f"{used['fmax_mhz']}",
    ]


HEADER = ["file", "added", "outcome", "vectors in its own runtime", "mismatches of all engines", "score / its own",
          "architecture", "LUT sites", "BRAM18 / DSP", "latency / interval, cycles", "Fmax est. MHz"]  # fmt: skip
NOTES = """

`keras` is the file's own layers in Keras (of a `--quantize` build the quantized model), `qonnx` onnxruntime and qonnx:
both independent of the integer design. Scores are of the test part, the hardware's beside the file's own runtime. The
data are in the form that the files were trained on, as found by trying: the LHC jets (1,000 of OpenML's
`hls4ml_lhc_jets_hlf`) standardised or as they are, classes in the order g, q, t, w, z of OpenML (`jets`) or g, q, w, z,
t of the HDF5 files before it (`jets_gqwzt`): in the wrong order a model of 75 % shows 30 %; MNIST in 0 to 1; iris
standardised, as its author's scaler does. In that form all 1,000 jets score 75.0 % in keras_3layer and
three_layer_keras, 77.2 % in keras_3layer_batch_norm (each read in NumPy's float64), 76.4 % in hgq_jet_classifier and
77.2 % in qkeras_3layer (the integer designs); all of iris 97.3 %. No data are here for the 53 inputs of
tutorial_keras_2_1, for UCI HAR, cardio and ToyADMOS; three_layer_bn_pytorch was never trained: its normalizations hold
their first values. `models.json` beside the files names the source of each.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="files of the folder (default: all)")
    parser.add_argument("--models", type=Path, default=Path("../shared/models"), help="folder of model files")
    parser.add_argument("--engines", help="build with these only, such as integer,hls,verilator")
    parser.add_argument("--table", action="store_true", help="write the table of what was built before")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work"))
    args = parser.parse_args()
    files = [args.models / n for n in args.names] or sorted(
        p for p in args.models.iterdir() if p.suffix in (".h5", ".keras", ".onnx")
    )
    args.work.mkdir(parents=True, exist_ok=True)
    data = data_files(args.work)
    kept = args.work / "published.json"

    def known() -> dict[str, list[str]]:
        return json.loads(kept.read_text()) if kept.is_file() else {}

    for file in [] if args.table else files:
        row = build(file, args.work, data, args.engines)
        print(" | ".join(row), flush=True)
        kept.write_text(json.dumps({**known(), file.name: row}, indent=1))
    rows = known()
    if args.table or not args.names:
        found = [rows[file.name] for file in files if file.name in rows]
        missing = ", ".join(file.name for file in files if file.name not in rows)
        left = f"Not built when this was written: {missing}.\n" if missing else ""
        write_section("Published models", "python benchmarks/published.py", table(HEADER, found) + NOTES + left)


if __name__ == "__main__":
    main()
