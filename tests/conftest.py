"""One process per backend: `KERAS_BACKEND` chooses, nothing is guessed.

A file of tests that is marked `pure` knows no Keras. `pytest -m pure` runs
these files without it, and fails where one imports it all the same.
"""

import functools
import gc
import importlib.abc
import os
import pathlib
import sys
import tempfile
import threading

import pytest

_HERE = pathlib.Path(__file__).parent
_BACKENDS = ("keras", "tensorflow", "jax", "torch")
# Where tests compile many steps that run a few times.
_SHORT_STEPS = (
    "callbacks",
    "clippers",
    "diagnosis",
    "edits",
    "layers",
    "optimizers",
)
# There XLA on JAX alone spends much on them.
_SHORT_ON_JAX = ("preflight", "recording")
# Where something is told by the stack of an operation.
_WANT_STACKS = ("diagnosis", "pins", "replaying")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# torch's threads cost more than these small models give them to do.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Two virtual devices, so that replicas and sharding are tested for real.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Many tests compile the same step: kept, it halves their time on JAX.
    _cache = tempfile.TemporaryDirectory(prefix="jax-compilation-cache-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


class _NoKeras(importlib.abc.MetaPathFinder):
    """Refuses to import Keras and its backends."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in _BACKENDS:
            raise ModuleNotFoundError(
                f"{name} is imported by a test marked `pure`: mark it `once`",
                name=name,
            )


@functools.cache
def _is_pure(path):
    # Read, not imported: to import it would import Keras.
    return "pytestmark = pytest.mark.pure\n" in path.read_text("utf-8")


def _only_pure(config):
    return config.option.markexpr == "pure"


def pytest_configure(config):
    if _only_pure(config):
        sys.meta_path.insert(0, _NoKeras())


def pytest_ignore_collect(collection_path, config):
    if _only_pure(config) and collection_path.suffix == ".py":
        return not _is_pure(collection_path) or None
    return None


def pytest_pycollect_makemodule(module_path):
    if not _is_pure(module_path):
        _start_keras()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Let backends optimize where a test looks at bits or runs long.

    Most of the time of other tests went to optimize steps that run ten times.
    """
    if not _is_pure(item.path):
        room = item.path.relative_to(_HERE).parts[0]
        marked = item.get_closest_marker("optimized") is not None
        short = room in _SHORT_STEPS
        if os.environ["KERAS_BACKEND"] == "jax":
            short = short or room in _SHORT_ON_JAX
        _optimize(marked or not short)


def _optimize(wanted):
    # The variable is for programs that the test starts.
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(not wanted))
    import keras

    if keras.backend.backend() == "jax":
        import jax

        _let_kernels_be_plain()
        jax.config.update("jax_disable_most_optimizations", not wanted)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Of graphs, before they run: a sixth of a test of short steps.
        tf.config.optimizer.set_experimental_options(
            {"disable_meta_optimizer": not wanted}
        )


@functools.cache
def _let_kernels_be_plain():
    """Spare XLA on JAX its fusion emitters where it optimizes little.

    They took nearly half of the time of a test of short steps.
    """
    from jax._src import compiler

    usual = getattr(compiler, "get_compile_options", None)
    if usual is None:
        return

    def options(*args, **kwargs):
        made = usual(*args, **kwargs)
        flags = made.executable_build_options.debug_options
        if flags.xla_backend_optimization_level == 0:
            made.env_option_overrides = [
                *made.env_option_overrides,
                ("xla_cpu_use_fusion_emitters", False),
            ]
        return made

    compiler.get_compile_options = options


def _keep_one_context():
    """Let JAX lower all functions of a thread in one context of MLIR.

    It makes a new one for each function, and loads every dialect into it: a
    fifth of a test of short steps. What is lowered is the same.
    """
    from jax._src.interpreters import mlir

    usual = getattr(mlir, "make_ir_context", None)
    if usual is None:
        return
    of_thread = threading.local()

    def context():
        if not hasattr(of_thread, "context"):
            of_thread.context = usual()
        return of_thread.context

    mlir.make_ir_context = context


@pytest.fixture(autouse=True, scope="module")
def _no_stacks_of_operations(request):
    """Spare TensorFlow the Python stack of each operation of a graph.

    Below pytest each is over a hundred frames deep: a tenth of what it takes
    to trace a step. Replays tell where an operation was written, so their
    tests keep them.
    """
    room = request.path.relative_to(_HERE).parts[0]
    stacks = sys.modules.get("tensorflow.python.util.tf_stack")
    if _is_pure(request.path) or room in _WANT_STACKS or not stacks:
        yield
        return
    whole = stacks.extract_stack
    one = whole()
    stacks.extract_stack = lambda stacklevel=1: one
    yield
    stacks.extract_stack = whole


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("pure"):
            item.add_marker("once")


@functools.cache
def _start_keras():
    # To trace a step makes objects that live on, by the hundred thousand.
    gc.set_threshold(100_000, 50, 100)
    if "KERAS_BACKEND" not in os.environ:
        if os.environ.get("CI"):
            raise pytest.UsageError(
                "KERAS_BACKEND is not set. Run: KERAS_BACKEND=tensorflow "
                "pytest (or jax, or torch; one process per backend)."
            )
        os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    if keras.backend.backend() == "jax":
        _keep_one_context()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Possible until TensorFlow's first operation only, so for all tests.
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2,
        )


@pytest.fixture(autouse=True, scope="module")
def _little_garbage_to_look_through(request):
    """Leave what earlier modules left behind out of later collections.

    `clear_session` collects garbage. Backends and what they cached for earlier
    tests took four fifths of the time of the suite on TensorFlow.
    """
    if not _is_pure(request.path):
        import keras

        keras.backend.clear_session()
        gc.freeze()


@pytest.fixture(autouse=True)
def _fresh_keras(request):
    """Each test starts from a clean session and a fixed seed.

    Garbage is collected once a file: what few tests leave costs less than to
    look through it for each.
    """
    if not _is_pure(request.path):
        import keras

        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)


@pytest.fixture
def backend():
    """Name of the backend that this process runs."""
    import keras

    return keras.backend.backend()
