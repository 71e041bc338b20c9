"""``python -m keras_models.quantize``."""

from keras_models import interrupts

if __name__ == "__main__":
    interrupts.at_once()  # also while what follows is imported
    from keras_models.quantize.command import main

    interrupts.leave(main())
