"""Keras's own optimizer tests, as installed, on optimizers in an AutoClip."""

import importlib
import unittest

import keras
import pytest

import keras_gradguard as kgg

# They test clipping of the inner optimizer itself, which AutoClip refuses.
NOT_OURS = ("clip_norm", "clip_value", "clipnorm_indexed_slices")


class Rewrapped(kgg.AutoClip):
    """An AutoClip that answers for its inner optimizer's arguments."""

    @property
    def variables(self):
        return self.inner_optimizer.variables

    def __getattr__(self, name):
        if name.startswith("_") or "inner_optimizer" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.inner_optimizer, name)


def _wrapping(optimizer_class):
    def make(*args, **kwargs):
        return Rewrapped(optimizer_class(*args, **kwargs), percentile=100)

    return make


@pytest.mark.parametrize(
    ("module", "case", "optimizer"),
    [
        ("sgd_test", "SGDTest", "SGD"),
        ("adam_test", "AdamTest", "Adam"),
    ],
)
def test_keras_tests_pass_at_percentile_100(
    module, case, optimizer, monkeypatch, request
):
    # Keras's own marker, unknown to our strict configuration.
    request.config.addinivalue_line("markers", "requires_trainable_backend")
    name = f"keras.src.optimizers.{module}"
    try:
        tests = importlib.import_module(name)
    except ImportError:
        pytest.skip("this Keras is installed without its tests")
    inner = getattr(keras.optimizers, optimizer)
    monkeypatch.setattr(tests, optimizer, _wrapping(inner))
    names = [
        test
        for test in unittest.TestLoader().getTestCaseNames(getattr(tests, case))
        # `test_config` needs the class itself.
        if not test.endswith((*NOT_OURS, "test_config"))
    ]
    suite = unittest.TestSuite(getattr(tests, case)(test) for test in names)
    result = unittest.TestResult()
    suite.run(result)
    failures = [text for _, text in result.failures + result.errors]
    assert result.testsRun >= 4
    assert not failures, "\n".join(failures)
