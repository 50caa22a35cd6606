"""Thresholds far from the norms: of `AutoClip`, and of Keras's own clips."""

from keras_gradguard.diagnosis.rules.clipping.rule import Clipping

__all__ = ["Clipping"]
