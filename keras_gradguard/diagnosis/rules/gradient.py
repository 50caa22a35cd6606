"""Rules on gradients: vanishing, exploding, not finite."""

from keras_gradguard.diagnosis.rules.base import Rule


class NonfiniteGradient(Rule):
    """Finds gradients that are NaN or infinite."""

    id = "nonfinite_gradient"

    def check(self, trace):
        """See `Rule.check`."""
        return []


class ExplodingGradient(Rule):
    """Finds gradients that grow without bound."""

    id = "exploding_gradient"

    def check(self, trace):
        """See `Rule.check`."""
        return []


class VanishingGradient(Rule):
    """Finds layers that the gradient does not reach."""

    id = "vanishing_gradient"

    def check(self, trace):
        """See `Rule.check`."""
        return []
