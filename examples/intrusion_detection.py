# %% [markdown]
# # Intrusion detection at line rate
#
# `unsw_nb15` describes flows of a network by 42 features and says which were attacks (N. Moustafa and J. Slay, MilCIS
# 2015; the partition of 82,332 flows). We use the split `split_dedup`, in which flows of equal features lie in one
# part, and 12,000 of the training rows, so that this takes a minute.

# %%
import numpy as np

from keras_models import NMPClassifier
from keras_models.data.loaders import load_dataset

data = load_dataset("unsw_nb15", "split_dedup")
X, y = data.part("train")
X_test, y_test = data.part("test")
some = np.random.default_rng(0).permutation(len(X))[:12000]
names = [str(name) for name in data.schema.features]
label = np.array([data.schema.label(c) for c in data.classes])
print(f"{len(X):,} flows, {(y == 1).mean():.0%} of them {label[1]}; {len(some):,} are used")

# %% [markdown]
# A missed attack costs more than a false alarm: `class_weight` says so. Columns that are codes (protocol, service,
# state) are named as categories.


# %%
def columns(rows):
    return {name: rows[:, i] for i, name in enumerate(names)}


coded = [names[c] for c in sorted(data.declaration.categorical)]
model = NMPClassifier(
    hidden=(12,), epochs=30, beta=2e-4, categorical=coded, class_weight={label[0]: 1.0, label[1]: 2.0}, random_state=0
).fit(columns(X[some]), label[y[some]])
print(f"accuracy {model.score(columns(X_test), label[y_test]):.4f}; categories: {', '.join(coded)}")

# %%
hw = model.build(part="xc7z020", data=(columns(X_test), label[y_test]), out="intrusion", engines="integer", vectors=100)
print(f"{hw.report.status}: {hw.report.synthesis['lut']:,} LUT sites, a flow every clock cycle "
      f"({1000 / hw.report.clock_period_ns:.0f} million per second)")  # fmt: skip

# %% [markdown]
# What counts here is how many attacks are found and how many alarms are false. The page shows it as precision and
# recall by class:

# %%
found = hw.report["predictions"]["classes"]
matrix = np.array(found["matrix"])
for i, name in enumerate(found["names"]):
    print(f"{name}: precision {matrix[i, i] / matrix[:, i].sum():.3f}, recall {matrix[i, i] / matrix[i].sum():.3f}, "
          f"{matrix[i].sum():,} flows")  # fmt: skip
