"""``python -m flow.hls_config``."""

from flow.hls.config_command import app

if __name__ == "__main__":
    app(prog_name="python -m flow.hls_config")
