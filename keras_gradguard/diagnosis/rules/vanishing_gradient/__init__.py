"""The rule that finds gradients that vanish, over depth or through time."""

from keras_gradguard.diagnosis.rules.vanishing_gradient.remedies import (
    for_vanishing as for_vanishing,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.rule import (
    VanishingGradient as VanishingGradient,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.rule import (
    cut_off as cut_off,
)
