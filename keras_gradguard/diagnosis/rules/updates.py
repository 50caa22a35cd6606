"""Rules on updates: layers that do not move, steps too large or small."""

from keras_gradguard.diagnosis.rules.base import Rule


class FrozenLayer(Rule):
    """Finds trainable layers whose weights do not change."""

    id = "frozen_layer"

    def check(self, trace):
        """See `Rule.check`."""
        return []


class UpdateRatio(Rule):
    """Finds updates far too large or too small for the weights."""

    id = "update_ratio"

    def check(self, trace):
        """See `Rule.check`."""
        return []
