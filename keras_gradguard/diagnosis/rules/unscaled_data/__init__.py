"""Inputs and targets at a scale that hurts."""

from keras_gradguard.diagnosis.rules.unscaled_data.rule import UnscaledData

__all__ = ["UnscaledData"]
