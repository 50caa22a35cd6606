"""Optimizer wrappers."""

from keras_gradguard.optimizers.auto_clip import AutoClip

__all__ = ["AutoClip"]
