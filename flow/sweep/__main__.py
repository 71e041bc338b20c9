"""``python -m flow.sweep``."""

from flow.sweep.command import app

if __name__ == "__main__":
    app(prog_name="python -m flow.sweep")
