"""A pytest plugin: the board's driver in the folder that ``MUTATED_DRIVER`` names takes the place of the project's."""

import importlib.util
import os
import sys
from pathlib import Path

import hls_templates

_FOLDER = Path(os.environ["MUTATED_DRIVER"])
_spec = importlib.util.spec_from_file_location("hls_templates.pynq_driver", _FOLDER / "pynq_driver.py")
assert _spec and _spec.loader
_module = importlib.util.module_from_spec(_spec)
sys.modules["hls_templates.pynq_driver"] = hls_templates.pynq_driver = _module
_spec.loader.exec_module(_module)

from flow.emit.shell import pynq  # noqa: E402 - it copies the driver, so it must find this one

pynq.FOLDER = _FOLDER
