"""The program ``nmp``.

Installed as a program, it finds its own packages whatever the folder holds in which it is started: ``python -m`` would
take a ``flow.py`` there for this package.
"""

from keras_models import interrupts


def main() -> None:
    """Run the command that is asked for."""
    interrupts.at_once()  # also while what follows is imported
    from flow.family import app

    app(prog_name="nmp")
