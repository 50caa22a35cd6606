"""Gradients that grow without bound: the rule, and the ways that show it."""

from keras_gradguard.diagnosis.rules.exploding_gradient.rule import (
    ExplodingGradient,
)

__all__ = ["ExplodingGradient"]
