"""The check before training, and what can be said without any data."""

from keras_gradguard.preflight.judge import check
from keras_gradguard.preflight.judge import static_findings

__all__ = ["check", "static_findings"]
