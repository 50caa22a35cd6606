import keras
import numpy as np
import pytest
from keras import ops

import keras_gradguard as kgg

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute", allow_module_level=True)

import tensorflow as tf


@pytest.mark.parametrize("clipper", ["norm", "value", "unitwise"])
def test_replicas_clip_the_reduced_gradient(clipper):
    # Collective keys of several strategies in one process collide.
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        variable = keras.Variable(np.full(2, 10.0, "float32"))
        options = {"ratio": 0.01} if clipper == "unitwise" else {}
        optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), clipper, **options)
        optimizer.build([variable])

    @tf.function
    def step(local):
        def apply():
            replica = tf.distribute.get_replica_context()
            index = replica.replica_id_in_sync_group
            optimizer.apply([tf.gather(local, index)], [variable])

        strategy.run(apply)

    step(tf.constant([[300.0, 0.0], [0.0, 2.0]]))
    update = np.full(2, 10.0) - ops.convert_to_numpy(variable)
    whole = np.array([300.0, 2.0])
    expected = {
        "norm": whole / np.linalg.norm(whole),
        "value": [1.0, 1.0],
        "unitwise": whole / np.linalg.norm(whole) * 0.01 * np.sqrt(200),
    }[clipper]
    np.testing.assert_allclose(update, expected, rtol=1e-3)
    assert optimizer.last_norm == pytest.approx(np.linalg.norm(whole))

    before = ops.convert_to_numpy(variable)
    step(tf.constant([[1.0, 1.0], [np.nan, 1.0]]))
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), before)
    assert optimizer.skipped_steps == 1
    assert ops.convert_to_numpy(optimizer.iterations) == 1
