"""``python -m keras_models.quantize``."""

import sys

from keras_models.quantize.command import main

sys.exit(main())
