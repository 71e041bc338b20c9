# %% [markdown]
# # A model from PyTorch
#
# PyTorch models come as ONNX files. `torch.onnx.export(model, x, "m.onnx")` writes `Gemm` and `Relu` nodes of floats
# for a network of linear layers. PyTorch is not needed to run this page: the weights are those of a scikit-learn
# network, and the file has the nodes that PyTorch's export has.

# %%
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import flow

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
network = MLPClassifier((8,), max_iter=400, random_state=0).fit(X, y)
print(f"accuracy {network.score(X_test, y_test):.3f} with floats")


# %%
def linear(name, weight, bias, source, result):
    """A linear layer, as PyTorch's export names it."""
    stored = [numpy_helper.from_array(np.asarray(v, np.float32), f"{name}.{part}")
              for part, v in (("weight", weight.T), ("bias", bias))]  # fmt: skip
    return helper.make_node("Gemm", [source, f"{name}.weight", f"{name}.bias"], [result], transB=1), stored


first, kept = linear("0", network.coefs_[0], network.intercepts_[0], "input", "hidden")
last, more = linear("2", network.coefs_[1], network.intercepts_[1], "positive", "output")
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c]) for n, c in (("input", 30), ("output", 1))]
nodes = [first, helper.make_node("Relu", ["hidden"], ["positive"]), last]
graph = helper.make_graph(nodes, "main_graph", ends[:1], ends[1:], kept + more)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "torch.onnx")

# %% [markdown]
# Floats have no exact hardware. `quantize` chooses formats by the error that they cause on the data's training rows
# (0 in `split`), and says what the score was before.

# %%
split = np.repeat([0, 2], [len(X), len(X_test)])
np.savez("rows.npz", X=np.concatenate([X, X_test]), y=np.concatenate([y, y_test]), split=split)
hw = flow.hardware(
    "torch.onnx", part="xc7z020", data="rows.npz", out="pytorch", quantize=True, engines="integer", vectors=100
)
told = hw.report["quantization"]
print(f"{hw.report.status}: accuracy {hw.report.score.value:.3f}, with floats {told['float_score']['value']:.3f}")
print(f"{told['mean_weight_bits']:.1f} bits per weight, {hw.report.synthesis['lut']:,} LUT sites")
