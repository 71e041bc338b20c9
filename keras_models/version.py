"""The version of the distribution, which `flow` and `keras_models` share."""

__version__ = "0.1.0"
