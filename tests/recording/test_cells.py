"""Statistics of layers, in the step and on the host, against plain NumPy."""

import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_gradguard._backend import host_ops
from keras_gradguard.models.activations import Site
from keras_gradguard.recording.step import batch_statistics
from keras_gradguard.recording.step import output_statistics
from keras_gradguard.recording.step.packing import Packing
from keras_gradguard.trace.series import DATA_SERIES


def site(name, bounds=None, can_die=True, **more):
    return Site(layers.ReLU(), name, name, bounds, can_die, **more)


def seen():
    """Sites with what they took and gave, of many shapes."""
    random = np.random.default_rng(0)

    def normal(*shape):
        return random.normal(size=shape).astype("float32")

    image = 5 + 0.01 * normal(6, 5, 4, 3)
    dead = np.maximum(normal(6, 9, 4), 0)
    dead[..., 1] = 0
    wide = np.maximum(normal(64, 300), 0)
    first, again = np.tanh(2 * normal(6, 3)), np.tanh(normal(6, 3))
    return [
        (site("image", can_die=False), [(normal(6, 8), image)]),
        (site("dead", positive=True), [(dead - 1, dead)]),
        (site("wide"), [(wide - 1, wide)]),
        (site("tanh", (-0.9, 0.9), False), [(None, first), (None, again)]),
        (site("small"), [(normal(6, 2), np.maximum(normal(6, 2), 0))]),
        (site("channels", unit_axis=1), [(normal(6), normal(6, 3, 70, 7))]),
        (site("alone", can_die=False), [(None, normal(6))]),
    ]


def twin(which, inputs, outputs):
    """The `OUTPUT_STATISTICS`, magnitudes and active shares, in float64."""
    outputs = outputs.astype("float64")
    share = inactive = magnitude = None
    beyond = spread = np.nan
    if outputs.ndim > 1:
        units = np.moveaxis(outputs, which.unit_axis, -1)
        units = units.reshape(len(outputs), -1, units.shape[-1])
        magnitude = np.abs(units).mean((0, 1))
        if which.can_die:
            share = (units != 0).any(1).mean(0)
            inactive = np.mean(share == 0)
    if which.bounds is not None:
        low, high = which.bounds
        beyond = np.mean((outputs <= low) | (outputs >= high))
    if inputs is not None:
        spread = inputs.astype("float64").std()
    zero = np.mean(outputs == 0)
    inactive = np.nan if inactive is None else inactive
    table = [outputs.mean(), outputs.std(), zero, beyond, inactive, spread]
    return table, magnitude, share


def gathered(shown, xp, folded):
    calls = []
    for which, of_site in shown:
        kept = [
            output_statistics.of_call(
                which,
                None if i is None else ops.convert_to_tensor(i),
                ops.convert_to_tensor(o),
            )
            for i, o in of_site
        ]
        calls.append((which, kept))
    if folded:
        calls = output_statistics.over_samples(calls)
    if xp is not host_ops:
        return calls
    return [(w, [tuple(map(on_host, c)) for c in kept]) for w, kept in calls]


def on_host(kept):
    if isinstance(kept, dict):
        return {name: on_host(part) for name, part in kept.items()}
    return None if kept is None else ops.convert_to_numpy(kept)


@pytest.mark.parametrize(
    ("xp", "folded"), [(ops, False), (host_ops, False), (host_ops, True)]
)
def test_statistics_of_layers(xp, folded):
    packing, shown = Packing(), seen()
    vector = ops.convert_to_numpy(
        xp.concatenate(
            packing.pack_activations(gathered(shown, xp, folded), xp), axis=0
        )
    )
    data = np.zeros(len(DATA_SERIES), "float32")
    found = packing.activations_of(np.concatenate([data, vector]))
    for (which, of_site), f, table, active, magnitude in zip(
        shown, *found, strict=True
    ):
        assert f is which
        twins = [twin(which, *call) for call in of_site]
        tables, magnitudes, shares = zip(*twins, strict=True)
        np.testing.assert_allclose(
            table, np.mean(tables, axis=0), rtol=1e-5, atol=1e-7
        )
        for part, twins in ((magnitude, magnitudes), (active, shares)):
            if twins[0] is None:
                assert part is None
            else:
                np.testing.assert_allclose(
                    part, np.max(twins, axis=0), rtol=1e-5
                )


@pytest.mark.parametrize("shape", [(6, 3), (40_000,), (6, 9000), (6, 50, 70)])
@pytest.mark.parametrize("axis", [-1, 1])
def test_an_activation_that_changes_nothing_is_read_once(shape, axis):
    random = np.random.default_rng(0)
    tensor = ops.convert_to_tensor(random.normal(size=shape), "float32")
    which = site("linear", can_die=False, unit_axis=axis)
    once, _ = output_statistics.of_call(which, tensor, tensor)
    twice, _ = output_statistics.of_call(which, tensor + 0, tensor)
    if not isinstance(twice, dict):
        np.testing.assert_array_equal(on_host(once), on_host(twice))
        return
    assert once.keys() == twice.keys()
    for name in once:
        np.testing.assert_allclose(
            on_host(once[name]), on_host(twice[name]), rtol=1e-5
        )


@pytest.mark.parametrize("xp", [ops, host_ops])
@pytest.mark.parametrize("shape", [(40_000,), (4, 6000), (3, 40, 50, 4)])
def test_statistics_of_large_inputs(shape, xp):
    random = np.random.default_rng(0)
    values = (random.normal(size=shape) + 9).astype("float32")
    values[..., 0] = 7.0 if values.ndim > 1 else values[..., 0]
    kept = batch_statistics.of("input", ops.convert_to_tensor(values))
    kept = on_host(kept) if xp is host_ops else kept
    vector = batch_statistics.pack({}, {"input": kept}, xp=xp)
    found = dict(zip(DATA_SERIES, ops.convert_to_numpy(vector), strict=True))
    wide = values.astype("float64")
    axes = tuple(range(max(1, len(shape) - 1)))
    scales = np.atleast_1d(wide.std(axis=axes))
    expected = {
        "input_min": wide.min(),
        "input_max": wide.max(),
        "input_mean": wide.mean(),
        "input_std": wide.std(),
        "feature_scale_min": scales[scales > 0].min(),
        "feature_scale_max": scales.max(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
