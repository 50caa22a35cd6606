"""Judgements on plain numbers, for the check before training and for rules.

Each takes facts (`DataFacts`, `Output`, `OptimizerFacts`) and returns a list
of `Finding` with `first_step=0`, `last_step=0` and `epoch=None`; who knows
better uses `dataclasses.replace`. Missing numbers are never a finding.
"""

from keras_gradguard.diagnosis.judgements.facts import DataFacts
from keras_gradguard.diagnosis.judgements.facts import OptimizerFacts
from keras_gradguard.diagnosis.judgements.facts import Output
from keras_gradguard.diagnosis.judgements.facts import loss_name
from keras_gradguard.diagnosis.judgements.pairing import judge_pairing
from keras_gradguard.diagnosis.judgements.rate import judge_learning_rate
from keras_gradguard.diagnosis.judgements.scale import judge_inputs
from keras_gradguard.diagnosis.judgements.scale import judge_target_scale
from keras_gradguard.diagnosis.judgements.targets import judge_targets

__all__ = [
    "DataFacts",
    "OptimizerFacts",
    "Output",
    "judge_inputs",
    "judge_learning_rate",
    "judge_pairing",
    "judge_target_scale",
    "judge_targets",
    "loss_name",
]
