"""``python -m flow.report``."""

from flow.report.command import app

if __name__ == "__main__":
    app(prog_name="python -m flow.report")
