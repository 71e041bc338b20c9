"""From a trained Keras model to an exact integer design, and from there to verified hardware."""
