"""``python -m flow.hls_config``."""

from keras_models import interrupts

if __name__ == "__main__":
    interrupts.at_once()  # also while what follows is imported
    from flow.hls.config_command import app

    app(prog_name="python -m flow.hls_config")
