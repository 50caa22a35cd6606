"""Interrupts fits in a real notebook kernel, and looks at what they leave.

`python -m tests.callbacks.notebook_kernel` with `KERAS_BACKEND` set; it needs
ipykernel and jupyter_client. A kernel keeps the exception, and with it all
that `fit` held. A session in which nothing was ever watched, interrupted at
the same batch, is what the watched one is compared with.

The data stop at the sixth batch until a file is there. Elsewhere a thread that
sleeps is woken by the interrupt. On TensorFlow another thread fetches the
data, and Python learns of the interrupt when the step has got them: so the
file is made behind the interrupt.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).parents[2]
SECONDS = 300
BATCHES = 8
SETUP = """
import hashlib, json, os, sys, time
import keras, numpy as np
import keras_gradguard as kgg

keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
y = (x[:, :1] > 0).astype("float32")

class Data(keras.utils.PyDataset):
    def __init__(self, stops_at=None):
        super().__init__()
        self.stops_at = stops_at
    def __len__(self):
        return 8
    def __getitem__(self, i):
        if i == self.stops_at:
            while not os.path.exists(GO):
                time.sleep(0.05)
        return x[32 * i : 32 * i + 32], y[32 * i : 32 * i + 32]

model = keras.Sequential([
    keras.Input((4,)),
    keras.layers.Dense(8, "relu"),
    keras.layers.Dense(1, "sigmoid"),
])
model.compile("adam", "binary_crossentropy")

class Tell(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("TRAINED", batch, flush=True)
    def on_test_batch_end(self, batch, logs=None):
        print("TESTED", batch, flush=True)

def watching():
    if not WATCH:
        return []
    return [kgg.GradientMonitor(verbose=0), kgg.DeadReLUDetector(verbose=0)]

def state():
    optimizer = model.optimizer
    return [
        sorted(model.__dict__),
        sorted(optimizer.__dict__),
        [variable.path for variable in optimizer.variables],
    ]
"""
# The cell, and what it says when it waits for the batch that does not come.
INTERRUPTED = {
    "in an epoch": (
        "model.fit(Data(5), shuffle=False, verbose=0, "
        "callbacks=[Tell(), *watching()])",
        "TRAINED 4",
    ),
    "in the validation": (
        "model.fit(Data(), validation_data=Data(5), shuffle=False, "
        "verbose=0, callbacks=[Tell(), *watching()])",
        "TESTED 4",
    ),
}
AFTER = """
kept = type(getattr(sys, "last_value", None)).__name__
states = [state()]
model.fit(Data(), shuffle=False, verbose=0)
states.append(state())
first = int(model.optimizer.iterations)
callbacks = watching()
model.fit(Data(), shuffle=False, verbose=0, callbacks=callbacks)
states.append(state())
arrays = [*model.get_weights(), *(
    keras.ops.convert_to_numpy(v) for v in model.optimizer.variables
)]
bits = hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays))
steps = [s - first for s in callbacks[0].trace.steps.tolist()] if WATCH else []
print("RESULT", json.dumps([kept, states, bits.hexdigest(), steps]))
"""


class Kernel:
    """A kernel in a process of its own."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "connection.json"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipykernel_launcher", "-f", str(path)],
            env=environment,
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + SECONDS
        while not (path.exists() and path.stat().st_size):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the kernel does not start")
            time.sleep(0.2)
        time.sleep(0.5)
        self.client = BlockingKernelClient(connection_file=str(path))
        self.client.load_connection_file()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)
        return self

    def __exit__(self, *error):
        self.client.stop_channels()
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()

    def read(self, until=None):
        """What a cell printed or raised, up to a word or to its end."""
        said = ""
        while True:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                said += content["text"]
            if kind == "error":
                said += f"\nERROR {content['ename']}: {content['evalue']}"
            if until is not None and until in said:
                return said
            if kind == "status" and content["execution_state"] == "idle":
                return said

    def run(self, code):
        self.client.execute(code)
        return self.read()


def session(watch, fit, waits):
    """Run the cells; `[kept, states, bits, steps]`."""
    with Kernel() as kernel:
        go = Path(kernel.folder.name) / "go"
        kernel.run(f"WATCH = {watch}\nGO = {str(go)!r}\n{SETUP}")
        kernel.client.execute(fit)
        said = kernel.read(until=waits)
        if waits not in said:
            raise RuntimeError(f"it did not come so far: {said}")
        time.sleep(1)
        os.kill(kernel.process.pid, signal.SIGINT)
        time.sleep(1)
        go.touch()
        said = kernel.read()
        if "KeyboardInterrupt" not in said:
            raise RuntimeError(f"it was not interrupted: {said}")
        said = kernel.run(AFTER)
        if "RESULT" not in said:
            raise RuntimeError(said)
        return json.loads(said.split("RESULT", 1)[1].strip().splitlines()[0])


def main():
    failed = False
    for place, (fit, waits) in INTERRUPTED.items():
        plain, watched = (session(way, fit, waits) for way in (False, True))
        kept, states, bits, steps = watched
        outcome = {
            "exception kept": kept == plain[0] == "KeyboardInterrupt",
            "model and optimizer as unwatched": states == plain[1],
            "bits equal": bits == plain[2],
            "all steps recorded": steps == list(range(BATCHES)),
        }
        failed |= not all(outcome.values())
        sys.stdout.write(f"interrupted {place}: {outcome}\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
