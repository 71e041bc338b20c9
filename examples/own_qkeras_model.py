# %% [markdown]
# # An own QKeras model
#
# You have a model with `QDense` layers already. It goes in as it is; nothing has to be trained again.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
import numpy as np
from qkeras import QActivation, QDense
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import flow

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((30,)),
    QActivation("quantized_bits(6,2,alpha=1)"),
    QDense(8, kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer="quantized_bits(6,2,alpha=1)"),
    QActivation("quantized_relu(4,2)"),
    QDense(2, kernel_quantizer="ternary(alpha=1)", bias_quantizer="quantized_bits(6,2,alpha=1)"),
])  # fmt: skip
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(X[:400], y[:400], epochs=40, verbose=0)
print(f"accuracy {model.evaluate(X[400:], y[400:], verbose=0)[1]:.3f} in Keras")

# %% [markdown]
# An estimate first, then the build. The hardware's score is the model's, since every output is equal, bit for bit.

# %%
print(flow.estimate(model, part="xc7z020"))
hw = flow.hardware(model, part="xc7z020", data=(X[400:], y[400:]), out="qkeras", engines="integer", vectors=100)
print(f"{hw.report.status}: accuracy {hw.report.score.value:.3f}, {hw.report.synthesis['lut']:,} LUT sites")
assert np.array_equal(hw.predict(X), model.predict(X, verbose=0))

# %% [markdown]
# Where a sum leaves its range, or a layer is wider than it need be, the layers' values side by side tell:

# %%
for name, layer in hw.trace(X[:200]).items():
    print(name, layer.values.shape, f"largest {np.abs(layer.values).max():g}", int(layer.differs.sum()), "differ")
