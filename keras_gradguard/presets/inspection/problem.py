"""What can be wrong with the weights that a model starts from."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class InitializationProblem:
    """A layer, or a stack of them, with weights not to start from.

    Attributes:
        layers: Where: names by `/`, the culprit first.
        kind: `"constant"`, `"symmetric"`, `"not_centered"`, `"one_unit"`,
            `"too_wide"`, `"too_narrow"`, `"wrong_pairing"`,
            `"vanishing_stack"` or `"exploding_stack"`.
        measured_std: Root mean square of the first layer's weights.
        expected_std: What fits its inputs and their activation.
        activation: Name of the activation that the weights must fit.
        message: What is wrong, in words and numbers.
        preset: Name for `kgg.presets.get`, or None where none fits.
        left: How much of the signal is left behind these layers, 1 where it
            does not get smaller.
    """

    layers: tuple
    kind: str
    measured_std: float
    expected_std: float
    activation: str
    message: str
    preset: str | None
    left: float = 1.0

    @property
    def layer(self) -> str:
        """The culprit."""
        return self.layers[0]
