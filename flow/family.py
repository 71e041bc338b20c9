"""``nmp train|quantize|build|sweep|report|hls-config|hls-stock``: the command lines under one name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer

from keras_models.command_line import Application, Group, Version, of_parser

_LEARNING = {"train": "keras_models.train", "quantize": "keras_models.quantize.command"}  # with `parser` and `run`
_MODULES = {  # each with an `app`, imported when it is asked for
    "build": "flow.build.command",
    "sweep": "flow.sweep.command",
    "report": "flow.report.command",
    "hls-config": "flow.hls.config_command",
    "hls-stock": "flow.hls.stock_command",
}


class _Commands(Group):
    """The sub-commands, each loaded on its first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_LEARNING, *_MODULES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _LEARNING:  # of a package that knows nothing of this one
            module = import_module(_LEARNING[cmd_name])
            command: Any = of_parser(module.parser(f"nmp {cmd_name}"), module.run)
        elif cmd_name in _MODULES:
            command = typer.main.get_command(import_module(_MODULES[cmd_name]).app)
        else:
            return None
        command.name = cmd_name
        return command


app = Application(cls=_Commands, no_args_is_help=True)


@app.callback()
def nmp(version: Version = False) -> None:
    """Train Keras models in which every neuron learns its own precision, and build verified hardware of them."""
