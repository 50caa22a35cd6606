"""The rule that finds gradients that are NaN or infinite."""

from keras_gradguard.diagnosis.rules.nonfinite_gradient.rule import (
    NonfiniteGradient as NonfiniteGradient,
)
