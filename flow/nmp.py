"""``nmp train|quantize|build|sweep|report|hls-config|hls-stock``: the command lines under one name.

Installed as a program, it finds its own packages whatever the folder holds in which it is started: ``python -m`` would
take a ``flow.py`` there for this package.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from flow.report.command_line import Version

_LEARNING = {"train": "keras_models.train", "quantize": "keras_models.quantize.command"}  # with `parser` and `main`
_MODULES = {  # each with an `app`, imported when it is asked for
    "build": "flow.build.command",
    "sweep": "flow.sweep.command",
    "report": "flow.report.command",
    "hls-config": "flow.hls.config_command",
    "hls-stock": "flow.hls.stock_command",
}


class _Commands(TyperGroup):
    """The sub-commands, each loaded on its first use: ``nmp -h`` stays instant."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_LEARNING, *_MODULES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _MODULES:
            return super().get_command(ctx, cmd_name)
        command = typer.main.get_command(import_module(_MODULES[cmd_name]).app)
        command.name = cmd_name
        return command


class _Learning(TyperCommand):
    """A command of ``keras_models``, which reads its own arguments: training knows nothing of this package."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        parser = import_module(_LEARNING[str(self.name)]).parser()
        words = [(option, action.help) for action in parser._actions for option in action.option_strings]
        return [CompletionItem(word, help=about) for word, about in words if word.startswith(incomplete)]


app = typer.Typer(
    cls=_Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def nmp(version: Version = False) -> None:
    """Train Keras models in which every neuron learns its own precision, and build verified hardware of them."""


def _hand_on(context: typer.Context) -> None:
    name = str(context.info_name)
    sys.argv = [f"nmp {name}", *context.args]
    raise typer.Exit(import_module(_LEARNING[name]).main(prog=f"nmp {name}"))


for _name, _about in (("train", "Train a model."), ("quantize", "Quantize a float model.")):
    app.command(
        _name,
        cls=_Learning,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
        add_help_option=False,
        help=_about,
    )(_hand_on)


def main() -> None:
    """The program ``nmp``."""
    app(prog_name="nmp")
