# %% [markdown]
# # Filters that learn their widths
#
# A small convolutional network on scikit-learn's digits, images of 8 x 8 pixels. A filter is a neuron: it learns a
# width, which of its weights are zero, and the width of what it hands on. The hardware is a stream: a pixel goes in
# with every transfer, and each layer is a window over the pixels with one core behind it.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import flow
from keras_models import BetaSchedule, NMPConv2D, NMPDense, NMPInputQuantizer, precision_summary

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8, 1).astype(np.float32) / 16
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((8, 8, 1)),
    NMPInputQuantizer(),
    NMPConv2D(6, 3, activation="relu"),
    keras.layers.MaxPooling2D(2),
    keras.layers.Flatten(),
    NMPDense(10),
])  # fmt: skip
model.compile(
    keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
)
model.fit(X, y, epochs=60, batch_size=128, verbose=0, callbacks=[BetaSchedule(1e-4)])
print(f"accuracy {model.evaluate(X_test, y_test, verbose=0)[1]:.3f}")

# %% [markdown]
# What the filters and the neurons have learned:

# %%
print(precision_summary(model))

# %% [markdown]
# What a stream of it would cost, before anything is built. `initiation_interval` are the cycles per image: with a
# pixel per cycle it cannot be less than 64.

# %%
print(flow.estimate(model, part="xc7z020", architecture="streaming"))

# %% [markdown]
# The build, compared with Keras and with the Verilog in Icarus. `architecture="streaming"` is asked for because so
# small a network would be unrolled otherwise.

# %%
hw = flow.hardware(
    model, part="xc7z020", data=(X_test.reshape(len(X_test), -1), y_test), out="convolution",
    architecture="streaming", engines="integer,icarus", vectors=40,
)  # fmt: skip
report = hw.report
print(f"{report.status}: accuracy {report.score.value:.3f}, {report.synthesis['lut']:,} LUT sites, ", end="")
print(f"an image of 64 pixels in {report.stream.cycles_per_image} cycles")
assert np.array_equal(hw.predict(X_test.reshape(len(X_test), -1)), model.predict(X_test, verbose=0))

# %% [markdown]
# Layer by layer: the window, what computes behind it, the cycles of an image that it needs, and the bits that wait in
# its line buffers. A parallel core takes a position per cycle; a folded one, which larger networks get, several.

# %%
for node in report.stream.nodes:
    window = " x ".join(map(str, node.window))
    print(
        f"{node.name:10} window {window:6} {node.core:9} {node.cycles:3} cycles, {node.buffer_bits:4} bits of buffers"
    )

# %% [markdown]
# The widths as they went into hardware, filter by filter:

# %%
for layer in report.layers:
    print(layer.name, "weights", [f"{bits:g}" for bits in layer.per_neuron.weight_bits])
    print(" " * len(layer.name), "outputs", [text or "exact" for text in layer.per_neuron.output])

# %% [markdown]
# Every engine answered the same vectors. Icarus also had the stream pause at random, with equal results.

# %%
for name, engine in report.verification.items():
    print(f"{name:8} {engine.vectors:6,} vectors, {engine.mismatches} mismatches, {engine.seconds:.1f} s")
