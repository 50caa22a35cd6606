"""A saved model loads in a fresh process, whichever is imported first."""

import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import fresh

ROOT = pathlib.Path(__file__).parents[1]
NAMES = [
    "AutoClip",
    "FixedNorm",
    "FixedValue",
    "GateBias",
    "PairedConv1D",
    "PairedConv2D",
    "PairedConv3D",
    "PairedDense",
    "PairedInitializer",
    "PerGate",
    "Percentile",
    "Residual",
    "ScaledAdd",
    "Unitwise",
    "ZScore",
    "squared_relu",
]
CHECK = f"""
import sys
import keras
missing = [
    name for name in {NAMES}
    if keras.saving.get_registered_object("keras_gradguard>" + name) is None
]
assert not missing, missing
left = [f for f in sys.meta_path if "gradguard" in type(f).__module__]
assert not left, left
assert "gradguard" not in type(keras.__spec__.loader).__module__
assert keras.__loader__ is keras.__spec__.loader
print("registered")
"""


def run(code, *arguments, **how):
    done = fresh.run(code, *arguments, **how)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = kgg.layers.PairedDense(8, pairing="lecun_selu")(inputs)
    branch = keras.layers.Dense(8, **kgg.presets.get("squared_relu"))(x)
    x = kgg.layers.ScaledAdd()([x, branch])
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile(kgg.AutoClip("adam", clipper="zscore"), "mse")
    data = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(data, data[:, :1], verbose=0)
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x=data, y=model.predict(data, verbose=0))
    return folder


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, keras_gradguard",
        # The order of imports is the same for all backends.
        pytest.param("import keras_gradguard, keras", marks=pytest.mark.once),
        pytest.param(
            "from keras_gradguard import Trace; import keras; "
            "Trace([], [], [])",
            marks=pytest.mark.once,
        ),
    ],
)
def test_a_saved_model_loads_in_a_fresh_process(saved, imports):
    code = (
        f"import sys, numpy as np\n{imports}\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "data = np.load(sys.argv[2])\n"
        "print(np.abs(model.predict(data['x'], verbose=0) - data['y']).max())\n"
        "print(type(model.optimizer).__name__, model.optimizer.clipper)\n"
    )
    out = run(code, saved / "model.keras", saved / "data.npz").splitlines()
    assert float(out[0]) < 1e-6
    assert out[1].startswith("AutoClip ZScore(")


WAYS = {
    "with a name of ours first": (
        "import keras_gradguard as kgg; kgg.GradientMonitor"
    ),
    "with heal first": "from keras_gradguard import heal",
    "with check first": "from keras_gradguard import check",
    "with the detector first": "from keras_gradguard import DeadReLUDetector",
    "with clippers first": "import keras_gradguard.clippers",
    "with layers first": "import keras_gradguard.layers",
    "with optimizers first": "import keras_gradguard.optimizers",
    "with presets first": "import keras_gradguard.presets",
    "with AutoClip first": "from keras_gradguard import AutoClip",
    "with a submodule of Keras": (
        "import keras_gradguard; from keras.src.saving import saving_lib"
    ),
    "after Keras failed": """
import os
import keras_gradguard
backend = os.environ["KERAS_BACKEND"]
os.environ["KERAS_BACKEND"] = "nonsense"
try:
    import keras
except Exception as error:
    print(type(error).__name__)
else:
    raise SystemExit("Keras took a backend of that name")
os.environ["KERAS_BACKEND"] = backend
for name in [n for n in sys.modules if n.split(".")[0] == "keras"]:
    del sys.modules[name]
import keras
""",
    "after others asked where Keras is": """
import importlib.util
import inspect
import pickle
import keras_gradguard
first = importlib.util.find_spec("keras")
second = importlib.util.find_spec("keras")
assert first.origin == second.origin and first.loader.get_code("keras")
assert importlib.util.find_spec("keras.layers") is not None
import keras
assert "keras" in inspect.getsource(keras)
""",
    "by a lazy loader": """
import importlib.util
import keras_gradguard
spec = importlib.util.find_spec("keras")
spec.loader = importlib.util.LazyLoader(spec.loader)
keras = sys.modules["keras"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(keras)
import wave
assert "keras.src" not in sys.modules
keras.layers
""",
    "past a hook that asks all finders": """
import importlib.util
import threading
import keras_gradguard
class Hook:
    asking = threading.local()
    seen = []
    def find_spec(self, name, path=None, target=None):
        if name != "keras" or getattr(self.asking, "now", False):
            return None
        self.asking.now = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.asking.now = False
        self.seen.append(spec)
        return spec
sys.meta_path.insert(0, Hook())
sys.meta_path.append(Hook())
import keras
assert Hook.seen
""",
    "past a hook that loads Keras itself": """
import importlib.machinery
import keras_gradguard
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        return importlib.machinery.PathFinder.find_spec(name, path, target)
sys.meta_path.insert(0, Hook())
import keras
import wave
import sunau
""",
    "while Keras is imported": """
import importlib.abc
import importlib.machinery
class Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        import keras_gradguard
        super().exec_module(module)
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name != "keras.src.layers":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        spec.loader = Loader(name, spec.origin)
        return spec
sys.meta_path.insert(0, Hook())
import keras
import wave
""",
    "reloaded": """
import importlib
import keras_gradguard
importlib.reload(keras_gradguard)
import keras
importlib.reload(keras_gradguard)
importlib.reload(keras)
""",
}


@pytest.mark.once
@pytest.mark.parametrize("way", sorted(WAYS))
def test_all_is_registered(way):
    out = run(f"import sys\n{WAYS[way]}\n{CHECK}")
    assert out.splitlines()[-1] == "registered"


@pytest.mark.once
def test_all_is_registered_from_a_zip_file(tmp_path):
    shutil.make_archive(tmp_path / "ours", "zip", ROOT, "keras_gradguard")
    code = (
        "import keras_gradguard\n"
        "assert '.zip' in keras_gradguard.__file__\n" + CHECK
    )
    path = f"{tmp_path / 'ours.zip'}"
    out = run(code, path=path, cwd=tmp_path)
    assert out.splitlines()[-1] == "registered"


@pytest.mark.once
def test_keras_that_does_not_fit_imports_all_the_same(tmp_path):
    # For instance Keras 2, or a folder of that name.
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "__init__.py").write_text("answer = 42\n")
    code = (
        "import sys, keras_gradguard\n"
        "meta_path = len(sys.meta_path)\n"
        "import keras\n"
        "assert keras.answer == 42\n"
        "assert len(sys.meta_path) == meta_path - 1\n"
    )
    run(code, path=f"{tmp_path}{os.pathsep}{ROOT}")


@pytest.mark.once
def test_without_keras_the_error_is_pythons_own(tmp_path):
    code = (
        "import sys, keras_gradguard\n"
        "sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "sys.path_importer_cache.clear()\n"
        "try:\n    import keras\n"
        "except ModuleNotFoundError as error:\n    print(error)\n"
    )
    assert run(code) == "No module named 'keras'"
