"""Backbones of KerasHub, where it is installed: exact, and not changed."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models
from tests import reference

keras_hub = pytest.importorskip("keras_hub", exc_type=ImportError)
ROWS, BATCH = 24, 8
SIZES = {
    "vocabulary_size": 30,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": 6,
}


# Bits are compared of one block: to compile it optimized takes most of it, and
# the second block has the same operations.
def bert(dropout):
    backbone = keras_hub.models.BertBackbone(
        dropout=dropout, num_layers=1 if dropout else 2, **SIZES
    )
    return backbone, backbone.output["pooled_output"]


def gpt2(dropout):
    backbone = keras_hub.models.GPT2Backbone(
        dropout=dropout, num_layers=1 if dropout else 2, **SIZES
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


def make(build, dropout):
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    backbone, features = build(dropout)
    outputs = keras.layers.Dense(3)(features)
    model = keras.Model(backbone.input, outputs)
    model.compile(keras.optimizers.Adam(0.01), models.crossentropy())
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


def fit(model, *callbacks, epochs=1):
    x, y = data(model)
    return model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


@pytest.mark.parametrize("build", [bert, gpt2, resnet])
def test_records_of_a_backbone_are_exact(build):
    model = make(build, 0.0)
    monitor = kgg.GradientMonitor(verbose=0)
    fit(model, monitor)
    twin = make(build, 0.0)
    expected = reference.train(twin, *data(twin), BATCH)["grad_norm"]
    found = monitor.trace.get("grad_norm", by="variable")
    assert found.shape == (ROWS // BATCH, len(model.trainable_variables))
    # A bias of keys has no gradient but rounding.
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)


@pytest.mark.optimized
@pytest.mark.parametrize("build", [bert, gpt2, resnet])
def test_watching_a_backbone_changes_no_bit(build):
    monitor = kgg.GradientMonitor(verbose=0)
    detector = kgg.DeadReLUDetector(verbose=0)
    ends = []
    for callbacks in ([], [monitor, detector]):
        model = make(build, 0.1)
        history = fit(model, *callbacks, epochs=2).history
        kept = [*model.variables, *model.optimizer.variables]
        ends.append((history, models.to_numpy(kept)))
    assert ends[0][0] == ends[1][0]
    for plain, watched in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_array_equal(plain, watched)
    assert monitor.trace.records_seen == 2 * ROWS // BATCH
