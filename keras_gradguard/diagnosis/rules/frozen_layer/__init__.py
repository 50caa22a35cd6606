"""Layers whose weights do not move: the rule, and gradients that are zero."""

from keras_gradguard.diagnosis.rules.frozen_layer.rule import FrozenLayer

__all__ = ["FrozenLayer"]
