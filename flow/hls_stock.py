"""``python -m flow.hls_stock``."""

from flow.hls.stock_command import app

if __name__ == "__main__":
    app(prog_name="python -m flow.hls_stock")
