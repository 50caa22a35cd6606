"""Weights that no training should start from."""

from keras_gradguard.diagnosis.rules.poor_initialization.rule import (
    PoorInitialization,
)

__all__ = ["PoorInitialization"]
