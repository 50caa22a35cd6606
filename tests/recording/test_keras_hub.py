"""Backbones of KerasHub, where it is installed: exact, and not changed."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models
from tests import reference

keras_hub = pytest.importorskip("keras_hub", exc_type=ImportError)
ROWS, BATCH = 24, 8
PER_EPOCH, EPOCHS = ROWS // BATCH, 2
SIZES = {
    "vocabulary_size": 30,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": 6,
}


# One block: to compile it optimized takes most of the time, and a second has
# the same operations.
def bert(dropout):
    backbone = keras_hub.models.BertBackbone(
        dropout=dropout, num_layers=1, **SIZES
    )
    return backbone, backbone.output["pooled_output"]


def gpt2(dropout):
    backbone = keras_hub.models.GPT2Backbone(
        dropout=dropout, num_layers=1, **SIZES
    )
    return backbone, keras.layers.GlobalAveragePooling1D()(backbone.output)


def resnet(dropout):
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return backbone, keras.layers.Dropout(dropout)(pooled)


def make(build, dropout, rule):
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    backbone, features = build(dropout)
    outputs = keras.layers.Dense(3)(features)
    model = keras.Model(backbone.input, outputs)
    model.compile(rule, models.crossentropy())
    return model


def data(model):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, ROWS)
    if not isinstance(model.input, dict):
        return random.normal(size=(ROWS, 16, 16, 3)).astype("float32"), y
    x = {
        "token_ids": random.integers(0, 30, (ROWS, 6)),
        "padding_mask": np.arange(6) < random.integers(3, 7, (ROWS, 1)),
        "segment_ids": np.zeros((ROWS, 6)),
    }
    return {name: x[name].astype("int32") for name in model.input}, y


class States(keras.callbacks.Callback):
    """Keeps the model's variables before each epoch."""

    def __init__(self):
        super().__init__()
        self.before = []

    def on_epoch_begin(self, epoch, logs=None):
        self.before.append(models.to_numpy(self.model.variables))


def fit(model, *callbacks):
    x, y = data(model)
    return model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    ).history


@pytest.mark.parametrize("build", [bert, gpt2, resnet])
def test_records_of_a_backbone_are_exact(build):
    # Without variables of its own, which TensorFlow would trace twice.
    model = make(build, 0.0, keras.optimizers.SGD(0.1))
    monitor, states = kgg.GradientMonitor(verbose=0), States()
    fit(model, states, monitor)
    found = monitor.trace.get("grad_norm", by="variable")
    count = len(model.trainable_variables)
    assert found.shape == (EPOCHS * PER_EPOCH, count)
    x, y = data(model)
    first = keras.tree.map_structure(lambda a: a[:BATCH], (x, y))
    for epoch, state in enumerate(states.before):
        for variable, value in zip(model.variables, state, strict=True):
            variable.assign(value)
        gradients = reference.gradients(model, *first)
        # A bias of keys has no gradient but rounding.
        np.testing.assert_allclose(
            found[epoch * PER_EPOCH],
            [reference.norm(gradient) for gradient in gradients],
            rtol=2e-4,
            atol=1e-6,
        )


@pytest.mark.optimized
@pytest.mark.parametrize("build", [bert, gpt2, resnet])
def test_watching_a_backbone_changes_no_bit(build):
    monitor = kgg.GradientMonitor(verbose=0)
    detector = kgg.DeadReLUDetector(verbose=0)
    ends = []
    for callbacks in ([], [monitor, detector]):
        model = make(build, 0.1, keras.optimizers.Adam(0.01))
        history = fit(model, *callbacks)
        state = [*model.variables, *model.optimizer.variables]
        ends.append((history, models.to_numpy(state)))
    assert ends[0][0] == ends[1][0]
    for plain, watched in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_array_equal(plain, watched)
    assert monitor.trace.records_seen == EPOCHS * PER_EPOCH
