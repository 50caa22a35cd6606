"""What each of two processes does: join the other, train, write it down.

`python -m tests.processes.worker FOLDER` with `PORTS` (one per rank) and
`KERAS_BACKEND` in the environment forks for each rank. What the first process
has imported is imported once. Fits one after the other, since each start takes
seconds: plain, watched, and watched until a finding stops it.
"""

import contextlib
import io
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

RANK = 0
SECONDS = 400
BATCH, STEPS, EPOCHS, WORKERS = 16, 6, 3, 2


def data():
    """Rows of all processes: `(steps, workers, rows, features)`."""
    import numpy as np

    random = np.random.default_rng(3)
    shape = STEPS, WORKERS, BATCH // WORKERS
    x = random.normal(size=(*shape, 8)).astype("float32")
    return x, (x[..., :1] * x[..., 1:2]).astype("float32")


def make_model(make_optimizer):
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, "relu", name="a"),
            keras.layers.Dense(16, my_relu, name="b"),
            keras.layers.Dense(1, name="c"),
        ],
        name="net",
    )
    model.compile(make_optimizer(), "mse")
    dead = [-100.0 if unit == 3 else 0.0 for unit in range(16)]
    model.layers[0].bias.assign(dead)
    return model


def my_relu(x):
    """An activation that is in no table."""
    import keras

    return keras.ops.maximum(x, 0.0) * 1.5


def clipped_adam():
    import keras

    import keras_gradguard as kgg

    return kgg.AutoClip(keras.optimizers.Adam(0.01), percentile=50)


def exploding():
    import keras

    return keras.optimizers.SGD(1e6)


def fit(scope, make_optimizer, x, y, callbacks, epochs=EPOCHS):
    import keras

    with scope():
        model = make_model(make_optimizer)
    kwargs = {"batch_size": BATCH // WORKERS}
    if keras.backend.backend() == "tensorflow":
        kwargs, x, y = {"steps_per_epoch": STEPS}, _dataset(x, y), None
    model.fit(
        x,
        y,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **kwargs,
    )
    return [
        keras.ops.convert_to_numpy(v)
        for v in [*model.variables, *model.optimizer.variables]
    ]


def series(trace):
    """What a trace holds, by name."""
    from keras_gradguard.trace import ACTIVATION_SERIES

    found = {
        "steps": trace.steps,
        "clipped": trace.clipped_grad_norm,
        "clip_threshold": trace.extra["clip_threshold"],
        "loss": trace.extra["loss"],
        "epoch_loss": trace.logs["loss"],
    }
    for name in ("grad_norm", "weight_norm", "update_ratio"):
        found[name] = trace.get(name, by="variable")
    for name in ACTIVATION_SERIES:
        found[name] = trace.activation(name)
    return found


def run(folder, scope=contextlib.nullcontext):
    """Train three times and write down what came of it."""
    import keras
    import numpy as np

    import keras_gradguard as kgg

    x, y = data()
    x, y = (part[:, RANK].reshape(-1, part.shape[-1]) for part in (x, y))
    plain = fit(scope, clipped_adam, x, y, [])
    logs = folder / "logs"
    capsule = folder / "capsule"
    monitor = kgg.GradientMonitor(log_dir=logs, capsule=capsule)
    detector = kgg.DeadReLUDetector(log_dir=logs)
    said = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(said),
    ):
        warnings.simplefilter("always", kgg.GradGuardWarning)
        watched = fit(scope, clipped_adam, x, y, [detector, monitor])

    class Slow(keras.callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            time.sleep(0.02 * RANK)

    counter = Slow()
    stopper = kgg.GradientMonitor(on_finding="stop", log_dir=folder / "stop")
    callbacks = [counter, stopper]
    with warnings.catch_warnings(), contextlib.redirect_stdout(said):
        warnings.simplefilter("ignore")
        fit(scope, exploding, x, y, callbacks, epochs=40)
    np.savez(
        folder / f"rank{RANK}.npz",
        **{f"plain{i}": v for i, v in enumerate(plain)},
        **{f"watched{i}": v for i, v in enumerate(watched)},
        **series(monitor.trace),
        dead=detector.dead_units["net/a"],
        dead_share=detector.share["net/b"],
    )
    told = {
        "said": said.getvalue(),
        "warned": [
            str(w.message)
            for w in warned
            if issubclass(w.category, kgg.GradGuardWarning)
        ],
        "records": [monitor.trace.records_seen, len(plain)],
        "findings": [f.rule for f in stopper.findings],
        "batches": counter.batches,
    }
    (folder / f"rank{RANK}.json").write_text(json.dumps(told))


def _dataset(x, y):
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    rows = tf.data.Dataset.from_tensor_slices((x, y))
    # The strategy takes it for the batch of all and divides it, and Keras
    # counts the batches from before.
    return rows.batch(BATCH).repeat().with_options(options)


def join_jax():
    """Join the other process; data stay as each process passes them."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    port = os.environ["PORTS"].split(",")[0]
    jax.distributed.initialize(
        f"127.0.0.1:{port}", num_processes=WORKERS, process_id=RANK
    )
    import keras

    keras.distribution.set_distribution(
        keras.distribution.DataParallel(
            devices=keras.distribution.list_devices(),
            auto_shard_dataset=False,
        )
    )
    return contextlib.nullcontext


def join_tensorflow():
    """Join the other process; mend what Keras 3.15's `fit` trips over."""
    workers = [f"127.0.0.1:{port}" for port in os.environ["PORTS"].split(",")]
    os.environ["TF_CONFIG"] = json.dumps(
        {
            "cluster": {"worker": workers},
            "task": {"type": "worker", "index": RANK},
        }
    )
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    _mend_keras(strategy)
    return strategy.scope


def join_torch():
    """Join the other process; Keras wraps the model in DDP from 3.16 on."""
    from torch import distributed

    port = os.environ["PORTS"].split(",")[0]
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        world_size=WORKERS,
        rank=RANK,
    )
    return contextlib.nullcontext


def _mend_keras(strategy):
    """See tensorflow/tensorflow#72388; both faults are there unwatched."""
    import keras
    from keras.src.backend.tensorflow import trainer  # noqa: TID251

    def first(structure):
        return keras.tree.map_structure(
            lambda v: strategy.experimental_local_results(v)[0], structure
        )

    def build(self, iterator=None, data_batch=None):
        if iterator is not None:
            for _, _, batches in iterator:
                data_batch = next(batches)
                break
        with strategy.scope():
            self._symbolic_build(data_batch=first(data_batch))

    def reduce(values, strategy, reduction):
        # The logs are metrics, which are reduced when they are read.
        return first(values)

    trainer.TensorFlowTrainer._maybe_symbolic_build = build
    trainer.reduce_per_replica = reduce


def become(rank, folder):
    """Be the process of a rank, whose errors go to a file."""
    global RANK
    RANK = rank
    signal.alarm(SECONDS)
    errors = os.open(folder / f"rank{rank}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(errors, 2)
    joined = {
        "jax": join_jax,
        "tensorflow": join_tensorflow,
        "torch": join_torch,
    }
    run(folder, joined[os.environ["KERAS_BACKEND"]]())


def main(folder):
    """Fork for each rank; the first exit code that is not 0, or 0."""
    children = []
    for rank in range(WORKERS):
        child = os.fork()
        if not child:
            become(rank, folder)
            return 0
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
    return next((code for code in ended if code), 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
