# %% [markdown]
# # KPIs of a testbed as hardware
#
# On a testbed at KTH two services run on a service mesh (F. Shahab Samani and R. Stadler, IEEE TNSM 2024). The data
# set `kth_mesh` has ten control and load values and the mean response times of both services over both nodes, every
# 5 s: 45,343 rows. We learn all four times, and want predictions within 100 ns, beside the network card.

# %%
import numpy as np

from keras_models import NMPRegressor
from keras_models.data.loaders import load_dataset

data = load_dataset("kth_mesh")
X, y = data.part("train")
X_test, y_test = data.part("test")
names = [str(name) for name in data.schema.features]
some = np.random.default_rng(0).permutation(len(X))[:12000]
print(f"{len(some):,} of {len(X):,} rows to learn from, {len(X_test):,} to judge by; features: {', '.join(names)}")

# %% [markdown]
# Features keep their names when they come as columns. Every neuron starts wide and gives up the bits that it does not
# need.


# %%
def columns(rows):
    return {name: rows[:, i] for i, name in enumerate(names)}


model = NMPRegressor(hidden=(16,), epochs=30, random_state=0).fit(columns(X[some]), y[some])
print(f"R2 on the test rows {model.score(columns(X_test), y_test):.3f}")
print(f"{model.statistics_['mean_weight_bits']:.2f} bits per weight, {model.n_iter_} epochs")

# %% [markdown]
# `build` makes the hardware and compares it with the model, bit for bit. The page has each KPI's error in its own
# unit beside the standardised one, and a plot of predictions against targets.

# %%
hw = model.build(part="xc7z020", data=(X_test, y_test), out="kpi", engines="integer", vectors=100)
synthesis = hw.report.synthesis
print(f"{hw.report.status}: {synthesis['lut']:,} LUT sites, "
      f"{hw.report.latency_cycles * hw.report.clock_period_ns:.0f} ns from input to result")  # fmt: skip
for kpi, target in zip(data.schema.targets, hw.report["predictions"]["targets"], strict=True):
    print(f"{kpi}: MSE {target['mse']:.4f} standardised, {target['mse_own_unit']:.4g} in its own unit, "
          f"mean absolute error {target['mean_absolute_error']:.4g}")  # fmt: skip

# %% [markdown]
# A row as it comes from the testbed goes in, response times in seconds come out:

# %%
row = {name: float(value) for name, value in zip(names, X_test[0], strict=True)}
print("predicted", np.round(model.preprocessing_.restore_targets(hw.predict([row]))[0], 4))
print("measured ", np.round(y_test[0], 4))
