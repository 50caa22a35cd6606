"""Two models that train at the same time, each with a monitor of its own."""

import threading

import keras
import numpy as np

import keras_gradguard as kgg

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


def made(name, width):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(width, "relu", name="hidden"),
            keras.layers.Dense(1, name="out"),
        ],
        name=name,
    )
    model.compile("sgd", "mse")
    return model


def test_each_thread_records_its_own_model():
    models = [made("first", 3), made("second", 5)]
    monitors = [kgg.GradientMonitor(verbose=0) for _ in models]
    errors = []

    def train(model, monitor):
        try:
            model.fit(X, X[:, :1], epochs=4, verbose=0, callbacks=[monitor])
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=train, args=pair)
        for pair in zip(models, monitors, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for model, monitor in zip(models, monitors, strict=True):
        assert monitor.trace.records_seen == 8
        assert monitor.trace.layers[0] == f"{model.name}/hidden"
        assert np.isfinite(monitor.trace.global_grad_norm).all()


def test_a_fit_inside_of_a_fit():
    inner = kgg.GradientMonitor(verbose=0)

    class TrainsAnother(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            another = made("another", 2)
            another.fit(X, X[:, :1], verbose=0, callbacks=[inner])

    outer = kgg.GradientMonitor(verbose=0)
    calls = [outer, TrainsAnother()]
    made("outer", 3).fit(X, X[:, :1], epochs=3, verbose=0, callbacks=calls)
    assert outer.trace.records_seen == 6
    assert outer.trace.layers[0] == "outer/hidden"
    assert inner.trace.records_seen == 2
