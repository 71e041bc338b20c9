# %% [markdown]
# # Digits to a bitstream
#
# From scikit-learn's handwritten digits to a configuration file for a Zynq, with open tools alone. Nothing of this
# has been on a board.

# %%
import matplotlib

matplotlib.use("Agg")
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import flow
from keras_models import NMPClassifier, plot_widths, precision_summary

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
model = NMPClassifier(hidden=(10,), epochs=80, beta=1e-4, random_state=0).fit(X, y)
print(f"accuracy {model.score(X_test, y_test):.3f}")

# %% [markdown]
# What every neuron has learned, as a table and as a picture:

# %%
print(precision_summary(model.model_))
plot_widths(model.model_, "digits_widths.png")

# %% [markdown]
# `bitstream=True` places, routes, assembles and reads the result back; it needs nextpnr and Project X-Ray's database
# (`scripts/install_nextpnr.sh`). Without them the hardware is built and verified all the same.

# %%
wanted = {"part": "xc7z020", "data": (X_test, y_test), "engines": "integer", "vectors": 100, "out": "digits"}
try:
    hw = model.build(bitstream=True, **wanted)
except flow.errors.ToolNotFound as missing:
    print(f"no bitstream here: {missing}")
    hw = model.build(**wanted)
print(f"{hw.report.status}: {hw.report.synthesis['lut']:,} LUT sites, score {hw.report.score.value:.3f}")
if "bitstream" in hw.report:
    found = hw.report["bitstream"]
    print(
        f"{found['file']}: {found['frames']:,} frames, {found['differences']} differences to the netlist when read back"
    )
