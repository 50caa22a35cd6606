"""The only place that reads, rebuilds or patches a Keras model."""
