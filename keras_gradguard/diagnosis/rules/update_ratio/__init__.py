"""Steps too large or too small: the rule, and what outweighs the task."""

from keras_gradguard.diagnosis.rules.update_ratio.rule import UpdateRatio
from keras_gradguard.diagnosis.rules.update_ratio.rule import (
    judge_learning_rate,
)

__all__ = ["UpdateRatio", "judge_learning_rate"]
