"""The compiled training loop: a whole epoch as one program, on TensorFlow or JAX."""
