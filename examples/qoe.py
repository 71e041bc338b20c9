# %% [markdown]
# # Quality of experience of mobile video
#
# `qoe_poqemon`: 1,543 sessions of mobile video, 15 features each, and the opinion score (MOS 1 to 5) that the user gave
# (L. Amour and others, MSWiM 2015). Few rows, five unequal classes, noisy labels, and users who come several times:
# the split `split_group` keeps every user in one part.

# %%
import numpy as np
from sklearn.model_selection import GridSearchCV

from keras_models import NMPClassifier
from keras_models.data.loaders import load_dataset

data = load_dataset("qoe_poqemon", "split_group")
X, y = data.part("train")
X_test, y_test = data.part("test")
label = np.array([data.schema.label(c) for c in data.classes])
print(f"{len(X)} sessions, {np.bincount(y).tolist()} of the scores {', '.join(label)}")

# %% [markdown]
# Which network, and how strongly should hardware count? A search of scikit-learn, with balanced classes:

# %%
search = GridSearchCV(
    NMPClassifier(epochs=30, class_weight="balanced", random_state=0),
    {"hidden": [(8,), (16,)], "beta": [1e-5, 1e-4]}, cv=2, scoring="balanced_accuracy",
)  # fmt: skip
search.fit(X, label[y])
print(search.best_params_, f"balanced accuracy {search.best_score_:.3f} in cross-validation")

# %%
model = search.best_estimator_
hw = model.build(part="xc7z020", data=(X_test, label[y_test]), out="qoe", engines="integer", vectors=100)
matrix = np.array(hw.report["predictions"]["classes"]["matrix"])
recall = np.diag(matrix) / matrix.sum(axis=1)
print(
    f"{hw.report.status}: {hw.report.synthesis['lut']:,} LUT sites; recall of the scores {np.round(recall, 2).tolist()}"
)
print(f"accuracy {np.diag(matrix).sum() / matrix.sum():.3f}, balanced {recall.mean():.3f}, "
      f"the largest class alone {matrix.sum(axis=1).max() / matrix.sum():.3f}")  # fmt: skip

# %% [markdown]
# Read such figures soberly: with five classes from opinions of few users, neighbouring scores are mixed up. The
# page's confusion matrix shows which.
