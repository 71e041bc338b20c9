"""``python -m flow.build``."""

from flow.build.command import app

if __name__ == "__main__":
    app(prog_name="python -m flow.build")
