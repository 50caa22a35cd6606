"""`layers=`: what a callback looks at, and what it leaves out."""

import copy
import pickle
import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


def make(seed=1, optimizer=None):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    encoder = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, "relu", name="inner_1"),
            layers.Dense(5, "tanh", name="inner_2"),
        ],
        name="encoder",
    )
    model = keras.Sequential(
        [
            keras.Input((4,)),
            encoder,
            layers.Dense(6, name="middle"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Dense(1, "sigmoid", name="out"),
        ],
        name="net",
    )
    model.compile(
        optimizer or keras.optimizers.SGD(0.1, global_clipnorm=0.05),
        "binary_crossentropy",
    )
    return model


def fit(callbacks, model=None):
    model = model or make()
    model.fit(
        X, Y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks,
        shuffle=False,
    )  # fmt: skip
    return model


def short(paths):
    return [path.split("/")[-1] for path in paths]


@pytest.mark.once
@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        (None, "inner_1 inner_2 middle norm out"),
        ("middle", "middle"),
        (["out", "middle"], "middle out"),
        ("inner_*", "inner_1 inner_2"),
        ("encoder", "inner_1 inner_2"),
        ("Dense", "inner_1 inner_2 middle out"),
        (keras.layers.Dense, "inner_1 inner_2 middle out"),
        ([keras.layers.Dense, "!encoder"], "middle out"),
        (["!BatchNormalization"], "inner_1 inner_2 middle out"),
        (["!inner_?", "!out"], "middle norm"),
        ("*/inner_1", "inner_1"),
    ],
)
def test_layers_that_an_entry_fits(layers, wanted):
    monitor = kgg.GradientMonitor(verbose=0, layers=layers)
    fit([monitor])
    assert short(monitor.trace.layers) == wanted.split()


def test_the_numbers_are_those_of_the_whole():
    whole = kgg.GradientMonitor(verbose=0)
    part = kgg.GradientMonitor(
        verbose=0, layers=["encoder", "out"], log_metrics=True
    )
    fit([whole, part])
    all_of, trace = whole.trace, part.trace
    at = [list(all_of.layers).index(path) for path in trace.layers]
    for name in ("grad_norm", "weight_norm", "update_ratio", "distance"):
        np.testing.assert_array_equal(trace[name], all_of[name][:, at])
    norms = all_of["grad_norm"][:, at].astype("float64")
    np.testing.assert_allclose(
        trace.global_grad_norm, np.sqrt((norms**2).sum(axis=1)), rtol=1e-6
    )
    # Clipping by the global norm scales all layers alike.
    np.testing.assert_allclose(
        trace.clipped_grad_norm / trace.global_grad_norm,
        all_of.clipped_grad_norm / all_of.global_grad_norm,
        rtol=1e-6,
    )
    assert trace.clipped.any()
    np.testing.assert_array_equal(trace.clipped, all_of.clipped)
    assert set(short(trace.sites)) <= {"inner_1", "inner_2", "out"}
    assert len(trace.sites)
    for site in trace.sites:
        here = list(trace.sites).index(site)
        there = list(all_of.sites).index(site)
        np.testing.assert_array_equal(
            trace.activation("std")[:, here],
            all_of.activation("std")[:, there],
        )


def test_what_is_left_out_is_not_told():
    def sick():
        model = make()
        model.get_layer("middle").bias.assign(np.full(6, -50.0, "float32"))
        model.get_layer("middle").trainable = False
        model.get_layer("norm").trainable = False
        model.compile("sgd", "binary_crossentropy")
        return model

    detectors = [
        kgg.DeadReLUDetector(verbose=0, layers=layers)
        for layers in (None, "relu", "encoder", ["!ReLU"])
    ]
    fit(detectors, sick())
    found = [short(sorted(d.dead_units)) for d in detectors]
    assert found == [["inner_1", "relu"], ["relu"], ["inner_1"], ["inner_1"]]
    np.testing.assert_array_equal(
        *[d.dead_units[next(p for p in d.dead_units if "relu" in p)]
          for d in detectors[:2]]
    )  # fmt: skip
    assert all("relu" not in str(f.layers) for f in detectors[2].findings)


def test_histograms_of_the_chosen_layers(tmp_path):
    pytest.importorskip("tensorboard")
    monitor = kgg.GradientMonitor(
        tmp_path, verbose=0, layers="out", histogram_freq=1
    )
    fit([monitor])
    events = b"".join(f.read_bytes() for f in tmp_path.glob("*tfevents*"))
    assert b"out" in events
    assert b"inner_1" not in events


@pytest.mark.optimized
def test_looking_at_some_layers_changes_nothing():
    plain = fit([])
    watched = fit(
        [
            kgg.GradientMonitor(verbose=0, layers=["!norm"]),
            kgg.DeadReLUDetector(verbose=0, layers=keras.layers.Dense),
        ]
    )
    for one, other in zip(plain.weights, watched.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )


class Late(keras.Model):
    """A model whose layers are made when it is built."""

    def build(self, shape):
        self.first = keras.layers.Dense(4, name="first")
        self.second = keras.layers.Dense(1, name="second")
        self.first.build(shape)
        self.second.build((None, 4))

    def call(self, x):
        return self.second(self.first(x))


def test_layers_that_are_still_to_be_built():
    monitor = kgg.GradientMonitor(verbose=0, layers="second")
    model = Late()
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        # TensorFlow builds it in the first step, and that is told.
        message = ".*once it is built"
        warnings.filterwarnings("ignore", message, kgg.GradGuardWarning)
        fit([monitor], model)
    assert short(monitor.trace.layers) == ["second"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ("middel", "'middel', which fits none. Its layers are encoder, inner_"),
        (["out", keras.layers.Conv2D], "Conv2D, which fits none"),
        (["out", "!embedding"], "'embedding', which fits none"),
        (["relu"], "what leaves no layer with weights"),
        (["!*"], "what leaves no layer with weights"),
    ],
)
def test_entries_that_fit_nothing(layers, text):
    with pytest.raises(ValueError, match="`layers` must name") as caught:
        fit([kgg.GradientMonitor(verbose=0, layers=layers)])
    assert text in str(caught.value)
    model = make()
    model.fit(X, Y, verbose=0)  # nothing stays behind


@pytest.mark.once
@pytest.mark.parametrize("cls", [kgg.GradientMonitor, kgg.DeadReLUDetector])
@pytest.mark.parametrize("layers", [5, [5], [], "", "!", {"a": 1}, [dict]])
def test_wrong_arguments(cls, layers):
    with pytest.raises((TypeError, ValueError), match="`layers` must be None"):
        cls(layers=layers)


@pytest.mark.once
def test_copies_keep_the_choice():
    monitor = kgg.GradientMonitor(
        verbose=0, layers=[keras.layers.Dense, "!out"]
    )
    for other in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
        fit([other])
        assert short(other.trace.layers) == ["inner_1", "inner_2", "middle"]
