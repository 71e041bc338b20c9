"""ONNX and QONNX files: read apart without trusting them, to the same steps or chains that Keras files become."""
