"""The GradGuard tab of TensorBoard; needs neither Keras nor a backend."""
