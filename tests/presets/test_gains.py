import keras
import numpy as np
import pytest
from keras import ops

from keras_gradguard import presets
from tests.presets import twin

NOT_ELEMENTWISE = {"glu", "softmax", "log_softmax", "sparsemax"}
ELEMENTWISE = [
    name
    for name in dir(keras.activations)
    if not name.startswith("_")
    and name not in {"get", "serialize", "deserialize", "threshold"}
    and name not in NOT_ELEMENTWISE
]
ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gain_matches_the_twin_to_six_digits(name):
    twin_name = ALIASES.get(name, name)
    found = presets.gain(name)
    # The twin's own error where f jumps is that of its grid.
    rel = 2e-6 if name == "hard_shrink" else 5e-7
    assert found == pytest.approx(
        twin.second_moment(twin_name) ** -0.5, rel=rel
    )
    back = presets.gain(name, backward=True)
    # The twin differentiates by differences: 2e-6 at a kink, 1e-4 where f
    # jumps.
    assert back == pytest.approx(twin.slope_moment(twin_name) ** -0.5, rel=1e-5)


# 30-digit quadrature, rounded: activation, E f^2, E f'^2, dV/dq at the gain.
REFERENCE = [
    ("selu", 1.0, 1.071574992, 0.7826478832),
    ("gelu", 0.4252214826, 0.4558508656, 1.144063197),
    ("silu", 0.3557755198, 0.3794823516, 1.172594054),
    ("tanh", 0.3942944904, 0.4644029024, 0.4610708305),
    ("sigmoid", 0.2933790359, 0.04483624135, 0.1063410747),
]


@pytest.mark.parametrize(("name", "second", "slope", "stability"), REFERENCE)
def test_moments_match_high_precision_quadrature(
    name, second, slope, stability
):
    found = presets.moments(name)
    assert found.second_moment == pytest.approx(second, rel=2e-7)
    assert found.slope_moment == pytest.approx(slope, rel=2e-7)
    assert found.sensitivity / found.second_moment == pytest.approx(
        stability, rel=1e-6
    )


@pytest.mark.parametrize("variance", [1e-4, 0.3, 2.7, 30.0])
@pytest.mark.parametrize(
    "name", ["relu", "gelu", "hard_tanh", "hard_silu", "relu6", "tanh"]
)
def test_moments_at_other_variances(name, variance):
    found = presets.moments(name, variance)
    assert found.second_moment == pytest.approx(
        twin.second_moment(name, variance), rel=1e-6
    )
    assert found.slope_moment == pytest.approx(
        twin.slope_moment(name, variance), rel=3e-5
    )


def test_any_callable_with_a_kink_anywhere():
    found = presets.moments(lambda x: ops.abs(x - 0.3337))
    assert found.second_moment == pytest.approx(1 + 0.3337**2, rel=1e-9)
    assert found.slope_moment == pytest.approx(1.0, rel=1e-9)


def test_a_numpy_function_works():
    assert presets.gain(np.tanh) == pytest.approx(1.59253742, rel=1e-6)


def test_a_steep_smooth_function_is_resolved():
    found = presets.moments(lambda x: ops.tanh(40.0 * x))
    assert found.second_moment == pytest.approx(
        float(np.sum(np.tanh(40.0 * twin._Z) ** 2 * twin._PHI) * twin._H),
        rel=1e-6,
    )


def test_a_jump_counts_as_no_slope():
    found = presets.moments(lambda x: ops.where(x > 0.321, x + 1.0, x))
    assert found.slope_moment == pytest.approx(1.0, rel=1e-6)


def test_a_float32_callable_is_good_to_five_digits():
    found = presets.moments(lambda x: ops.relu(ops.cast(x, "float32") - 0.123))
    a = 0.123
    phi = np.exp(-0.5 * a * a) / np.sqrt(2 * np.pi)
    tail = float(np.sum(twin._PHI[a < twin._Z]) * twin._H)
    assert found.slope_moment == pytest.approx(tail, rel=2e-5)
    assert found.second_moment == pytest.approx(
        (1 + a * a) * tail - a * phi, rel=2e-5
    )


def test_activation_layers():
    slope = presets.gain(keras.layers.LeakyReLU(0.1))
    assert slope == pytest.approx((2 / 1.01) ** 0.5, rel=1e-7)
    layer = keras.layers.PReLU(keras.initializers.Constant(0.25))
    assert presets.gain(layer) == pytest.approx((2 / 1.0625) ** 0.5, rel=1e-7)


def test_none_is_linear():
    assert presets.gain(None) == pytest.approx(1.0, rel=1e-12)


def test_the_same_twice_and_unhashable_callables():
    class Swish:
        __hash__ = None

        def __call__(self, x):
            return x * ops.sigmoid(x)

    assert presets.gain(Swish()) == pytest.approx(presets.gain("silu"))


@pytest.mark.parametrize("name", sorted(NOT_ELEMENTWISE))
def test_what_mixes_elements_is_refused(name):
    with pytest.raises(ValueError, match=r"`activation` must (be el|map)"):
        presets.gain(name)


def test_errors_teach():
    with pytest.raises(TypeError, match=r"must be a name, a callable"):
        presets.gain(3)
    with pytest.raises(ValueError, match=r"which failed with TypeError"):
        presets.gain("threshold")
    with pytest.raises(ValueError, match=r"must be finite on \[-3, 3\]"):
        presets.gain(ops.log)
    with pytest.raises(ValueError, match=r"finite, positive second moment"):
        presets.gain(lambda x: 0.0 * x)
    with pytest.raises(TypeError, match=r"`backward` must be True or False"):
        presets.gain("relu", backward=1)
    with pytest.raises(ValueError, match=r"`variance` must be a number > 0"):
        presets.moments("relu", 0.0)
