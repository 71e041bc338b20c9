"""From a float model to one of NMP layers: formats chosen by their error, then fine-tuning from the float weights."""
