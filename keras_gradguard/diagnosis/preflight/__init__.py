"""The check before training, and what can be told without any data."""

from keras_gradguard.diagnosis.preflight.check import check
from keras_gradguard.diagnosis.preflight.check import static_findings

__all__ = ["check", "static_findings"]
