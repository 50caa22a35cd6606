"""The private names of Keras that this package uses, one function each.

What can be had from a public name is not here. They are 29 names with an
underscore, three modules of `keras.src` and a local variable of `fit`. Of the
names 15 tell how an optimizer takes gradients and keeps state, and 6 belong to
the trainer and its loss. Layers and their graph take 4, the data of a fit 2.
One marks the hook of a callback, one says whether TensorFlow is there. Each
function tells why, and since when. Beside these, a backend reads
`KerasVariable._value`, the backend's own variable (`_backend`, `native`).

Longer than 350 lines, since it is the one list of all that is private.
"""

import contextlib
import sys
import threading

import keras
import numpy as np
from keras import tree
from keras.src import backend
from keras.src.random.seed_generator import draw_seed
from keras.src.utils import module_utils

from keras_gradguard.models.patches import Patches

# Of a layer or a model


def children(layer):
    """Return the layers that a layer holds, in the order of its attributes.

    Only a model has a public list. `Layer` has kept this one since 3.0.

    Args:
        layer: A Keras layer.
    """
    listed = getattr(layer, "layers", None)
    if not isinstance(listed, list | tuple):
        listed = layer._layers
    return [child for child in listed if isinstance(child, keras.Layer)]


def own_variables(layer):
    """Return the variables a layer itself made as trainable, frozen or not.

    The public lists hold those of the layers in it, too, and leave out what
    is frozen. `Layer` has kept them under this name since 3.0.

    Args:
        layer: A Keras layer.
    """
    variables = getattr(layer, "_trainable_variables", None)
    if variables is None:
        raise RuntimeError(
            "keras_gradguard: this Keras release keeps a layer's variables "
            "in another place. Update keras-gradguard."
        )
    return list(variables)


def is_rematerialized(layer):
    """Whether a layer runs again in the backward pass.

    `RematScope` leaves no public trace. `Layer` notes its mode since 3.9.

    Args:
        layer: A Keras layer.
    """
    return getattr(layer, "_remat_mode", None) is not None


def layers_before(layer):
    """Return the operations whose outputs a layer was called on.

    Public is this of a functional model's tensors only. `Operation` has kept
    its nodes since 3.0; a layer that was never called on them has none.

    Args:
        layer: A Keras layer.
    """
    operations = {
        id(node.operation): node.operation
        for inbound in layer._inbound_nodes
        for node in inbound.parent_nodes
    }
    return list(operations.values())


# Of a trainer


def loss_weights(model):
    """Return the `loss_weights` that a model was compiled with, or None.

    `get_compile_config` gives them, too, but serializes all there is for it.
    `CompileLoss` has kept them under this name since Keras 3.0.

    Args:
        model: A Keras model.
    """
    return getattr(model._compile_loss, "_user_loss_weights", None)


def make_train_function(model, train_step, every_step=False):
    """Return what Keras makes as `model.train_function` of another step.

    Up to 3.15 Keras on torch looks `train_step` up whenever it runs, else when
    it makes the function.

    Args:
        model: A compiled Keras model; it stays as it is.
        train_step: Callable to be used as `model.train_step`.
        every_step: Whether the function gives the logs of all steps of an
            execution, concatenated. For JAX: `_make_function` has done so for
            `predict` since 3.0.
    """

    def make_concatenating(make):
        def _make_function(*args, **kwargs):
            return make(*args, **{**kwargs, "concatenate_outputs": True})

        return _make_function

    present = model.train_function
    patches = Patches()
    patches.replace(model, "train_step", lambda _: train_step)
    if every_step:
        patches.replace(model, "_make_function", make_concatenating)
    try:
        model.make_train_function(force=True)
        function = model.train_function
    finally:
        patches.undo()
        model.train_function = present
    if keras.backend.backend() != "torch":
        return function

    def train_function(*args):
        patches = Patches()
        patches.replace(model, "train_step", lambda _: train_step)
        try:
            return function(*args)
        finally:
            patches.undo()

    return train_function


def record_shardings(model):
    """Tell Keras on JAX, up to 3.11, that the state has other variables.

    `fit` asks them once, before `on_train_begin`.

    Args:
        model: A Keras model, or None.
    """
    record = getattr(model, "_record_training_state_sharding_spec", None)
    if record is not None:
        with contextlib.suppress(TypeError, AttributeError):  # state is lost
            record()


def hold_state(model, result):
    """Give Keras's trainer on JAX the state that a train function returned.

    `fit` has done it since 3.0, when the function returns, and syncs it at the
    end. The state from before is gone by then; without this, so are the
    weights.

    Args:
        model: A Keras model that is being trained.
        result: What its `train_function` returned.
    """
    if not hasattr(model, "jax_state_sync"):
        return
    names = "trainable", "non_trainable", "optimizer", "metrics"
    model._jax_state = {
        f"{name}_variables": values
        for name, values in zip(names, result[1], strict=False)
    }


def hold_first_state(model, state):
    """Give Keras's trainer on JAX the state before the first step of a `fit`.

    It takes the values out of the variables, and holds none before the step
    has returned. Whoever leaves there has lost the weights.

    Args:
        model: A Keras model that is being trained.
        state: What its `train_function` gets.

    Returns:
        Bool. Whether the trainer held nothing, and does now.
    """
    if getattr(model, "_jax_state", None) is not None:
        return False
    hold_state(model, (None, state))
    return True


def drop_lost_state(model):
    """Let Keras's trainer on JAX hold nothing, if a step has used that up.

    A step that fails may have taken the memory. To put such a state back
    raises an error, which would stand in the place of the step's own.

    Args:
        model: A Keras model for which `hold_first_state` was true.
    """
    held = tree.flatten(model._jax_state)
    if any(getattr(value, "is_deleted", bool)() for value in held):
        model._jax_state = None


def epoch_iterator(frame):
    """Return what a `fit` iterates over, None if the frame is of no `fit`.

    `fit` has kept it in a local variable of this name since 3.0.

    Args:
        frame: A Python frame, or None.
    """
    names = {} if frame is None else frame.f_locals
    iterator = names.get("epoch_iterator")
    return iterator if hasattr(iterator, "catch_stop_iteration") else None


def tap_dataset(iterator, through):
    """Put something between a `tf.data.Dataset` and a `fit` that begins.

    Keras on TensorFlow has kept it under this name since 3.0.

    Args:
        iterator: What `epoch_iterator` returned.
        through: Function from the data set to the one to use.
    """
    dataset = getattr(iterator, "_distributed_dataset", None)
    if dataset is not None:
        iterator._distributed_dataset = through(dataset)


def gives_batches(iterator):
    """Return whether a `fit` iterates over what is no array, None if unknown.

    What adapts data for `fit` is known by its class, since 3.0.

    Args:
        iterator: What `epoch_iterator` returned.
    """
    adapter = getattr(iterator, "data_adapter", None)
    if adapter is None:
        return None
    return type(adapter).__name__ != "ArrayDataAdapter"


def batch_rows(iterator):
    """Return the batch size of arrays that are not shuffled, else None.

    Args:
        iterator: What `epoch_iterator` returned.
    """
    if gives_batches(iterator) is not False:
        return None
    adapter = iterator.data_adapter
    shuffled = getattr(adapter, "_shuffle", True)
    return None if shuffled else adapter.batch_size


def called_beside_training(method):
    """Mark a batch hook that need not hold up the training; a decorator.

    On JAX and torch Keras calls the hooks of batches beside the training if
    all of them are its own empty ones, which bear this mark since 3.0. A
    subclass that overrides the hook is without it.

    Args:
        method: Hook that reads neither model nor logs, in any thread.
    """
    method._is_default = True
    return method


# Of an optimizer. `apply` calls these methods, with these arguments, since 3.0


def missing_method(optimizer):
    """Return the name of a method that `apply` would call, or None.

    Args:
        optimizer: A Keras optimizer that wraps no other.
    """
    wanted = ("apply", "_backend_apply_gradients", "_clip_gradients")
    missing = [name for name in wanted if not hasattr(optimizer, name)]
    return missing[0] if missing else None


def replace_clipping(optimizer, make, patches=None):
    """Replace the method that clips a list of gradients.

    It runs after the loss scale is divided out and micro-batches are averaged,
    before weight decay and update. No public method sees them there.

    Args:
        optimizer: A Keras optimizer.
        make: Callable from the bound method, or None, to its replacement.
        patches: `Patches` that will undo it, or None: for good.
    """
    if patches is not None:
        patches.replace(optimizer, "_clip_gradients", make)
    else:
        present = getattr(optimizer, "_clip_gradients", None)
        optimizer._clip_gradients = make(present)


def clips_as_keras(optimizer):
    """Whether an optimizer's gradients are clipped as Keras's own does it.

    Args:
        optimizer: A Keras optimizer, whose method may be replaced.
    """
    base = keras.optimizers.Optimizer._clip_gradients
    own = type(optimizer)._clip_gradients
    return own is base and "_clip_gradients" not in vars(optimizer)


def replace_update(optimizer, make, patches):
    """Replace the method that takes all gradients, then clips and updates.

    Args:
        optimizer: A Keras optimizer.
        make: Callable from the bound method to its replacement.
        patches: `Patches` that will undo it.
    """
    patches.replace(optimizer, "_backend_apply_gradients", make)


def replace_reduction(optimizer, make, patches):
    """Replace the method that adds gradients up over TensorFlow's replicas.

    Args:
        optimizer: A Keras optimizer. On other backends it has none.
        make: Callable from the bound method to its replacement.
        patches: `Patches` that will undo it.
    """
    if hasattr(optimizer, "_all_reduce_sum_gradients"):
        patches.replace(optimizer, "_all_reduce_sum_gradients", make)


def replace_skipping(optimizer, make, patches):
    """Replace what a `LossScaleOptimizer` calls instead of an update.

    Args:
        optimizer: A `LossScaleOptimizer`. Since 3.0 it calls the method
            without arguments; on JAX another, with state and weights.
        make: Callable from the bound method to its replacement.
        patches: `Patches` that will undo it.
    """
    name = "_stateful_handle_non_finite_grads"
    if keras.backend.backend() == "jax":
        name = "_stateless_handle_non_finite_grads"
    patches.replace(optimizer, name, make)


def counter(optimizer):
    """Return the variable that counts batches, since 3.3.

    The public `iterations` counts updates: with accumulation it is divided.
    """
    return optimizer._iterations


def updated_variables(optimizer):
    """Return the variables that an optimizer was built on, since 3.0.

    Args:
        optimizer: A Keras optimizer.
    """
    return list(optimizer._trainable_variables)


def set_updated_variables(optimizer, variables):
    """Say on which variables an optimizer is built, as its `build` does.

    `Optimizer.build` would make slots for them as well. `apply` looks the
    indices up since 3.0.

    Args:
        optimizer: A Keras optimizer that keeps no state for each of them.
        variables: List of Keras variables.
    """
    # Past Keras's `__setattr__`, which would make them optimizer variables.
    object.__setattr__(optimizer, "_trainable_variables", variables)
    for index, variable in enumerate(variables):
        key = optimizer._var_key(variable)
        optimizer._trainable_variables_indices[key] = index


def state_variables(optimizer):
    """Return the list of an optimizer's own variables, to be changed in place.

    The public `variables` is a copy. Tracked under this name since 3.0.

    Args:
        optimizer: A Keras optimizer.
    """
    return optimizer._variables


def track(optimizer, variable, wanted):
    """Put a variable among an optimizer's own, or take it out; since 3.0.

    `add_variable` can only make a new one.

    Args:
        optimizer: A Keras optimizer.
        variable: A Keras variable.
        wanted: Bool, whether it is to be in.
    """
    change = (
        optimizer._track_variable if wanted else optimizer._untrack_variable
    )
    change(variable)


def averages(optimizer):
    """Return the moving averages of weights, or None; named so since 3.0."""
    return getattr(optimizer, "_model_variables_moving_average", None)


def accumulators(optimizer):
    """Return the sums of an `Adagrad`, which alone do not begin at zero.

    None for others. Named so since 3.0.
    """
    return getattr(optimizer, "_accumulators", None)


def rate(optimizer):
    """Return the learning rate as it was set: variable or schedule.

    The public `learning_rate` evaluates a schedule. Named so since 3.0.
    """
    return getattr(optimizer, "_learning_rate", None)


# Of losses


def loss_arguments(loss):
    """Return the arguments that a loss of Keras's own hands to its function.

    Some are missing in its config: the `delta` of `Huber` (to Keras 3.15 at
    least), the `axis` of `CosineSimilarity`. Since Keras 3.0.

    Args:
        loss: A `keras.losses.Loss`.
    """
    given = getattr(loss, "_fn_kwargs", None)
    return dict(given) if isinstance(given, dict) else {}


# Of Keras itself

_DRAWING = threading.local()
_DRAWERS = threading.Lock()
_drawn_by: list = []  # what to undo, while some thread draws its own way


def compiles_draws():
    """Whether the backend compiles a function for each shape it draws."""
    return keras.backend.backend() == "jax"


@contextlib.contextmanager
def draws_replaced(normal, uniform, truncated_normal):
    """Let the calling thread draw random numbers in another way.

    Initializers and `keras.random` have taken these functions from the module
    `random` of the backend since 3.0; nothing public stands in between.

    Each argument stands for the function of its name. It takes a NumPy
    generator and what that one takes, but `dtype` and `seed`, and returns an
    array.
    """
    draws = {
        "normal": normal,
        "uniform": uniform,
        "truncated_normal": truncated_normal,
    }
    before = getattr(_DRAWING, "draws", None)
    with _DRAWERS:
        if not _drawn_by:
            patches = Patches()
            for name in draws:
                patches.replace(backend.random, name, _drawn_here(name))
            _drawn_by.append(patches)
        else:
            _drawn_by.append(None)
    _DRAWING.draws = draws
    try:
        yield
    finally:
        _DRAWING.draws = before
        with _DRAWERS:
            _drawn_by.pop() if len(_drawn_by) > 1 else _drawn_by.pop().undo()


def _drawn_here(name):
    def make(original):
        def draw(shape, *args, dtype=None, seed=None, **kwargs):
            draws = getattr(_DRAWING, "draws", None)
            numbers = None if draws is None else _numbers(seed)
            if draws is None or numbers is None:
                return original(shape, *args, dtype=dtype, seed=seed, **kwargs)
            rng = np.random.default_rng(numbers)
            values = draws[name](rng, shape, *args, **kwargs)
            # To convert it on the device would be compiled, too.
            dtype = dtype or keras.config.floatx()
            values = values.astype(
                "float64" if dtype == "float64" else "float32"
            )
            return keras.ops.convert_to_tensor(values, dtype)

        return draw

    return make


def _numbers(seed):
    """Return the integers of a seed, None where they are not known yet."""
    try:
        drawn = keras.ops.convert_to_numpy(draw_seed(seed))
    except Exception:
        return None  # inside a function that is traced, or no seed
    return [int(number) for number in np.ravel(drawn)]


@contextlib.contextmanager
def without_tensorflow():
    """Let Keras serialize without an import of TensorFlow.

    Since 3.0 its serializer asks whether TensorFlow is installed, to treat
    TensorFlow's own types, and imports it to know: half a gigabyte, seconds,
    lines of log. Where it has not been imported, nothing is of its types.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    before = module_utils.tensorflow._available
    module_utils.tensorflow._available = False
    try:
        yield
    finally:
        module_utils.tensorflow._available = before


def calls_of(function):
    """Return which operation takes whose output, inside a functional model.

    `get_config` tells as much, but only of models all of whose layers can be
    serialized, and whose class has no config of its own. Nodes, and the
    history of symbolic tensors, are what Keras 3 has built it from since 3.0.

    Args:
        function: A `keras.Function`, above all a functional model.

    Returns:
        Tuple of the operations that give its inputs, a dict from the id of
        every other operation to the list of those whose outputs it takes, over
        all its calls, and the operations that give its outputs.

    Raises:
        RuntimeError: If this Keras keeps them elsewhere.
    """
    try:
        return _calls_of(function)
    except (AttributeError, IndexError, TypeError) as error:
        raise RuntimeError(
            "keras_gradguard: this Keras release keeps the graph of a model "
            f"in another place ({error}). Update keras-gradguard."
        ) from error


def _calls_of(function):
    inputs = [_maker(tensor)[0] for tensor in function.inputs]
    outputs = [_maker(tensor)[0] for tensor in function.outputs]
    own = {id(tensor) for tensor in function.inputs}
    todo, nodes = list(function.outputs), {}
    while todo:
        tensor = todo.pop()
        operation, at = _maker(tensor)
        if id(tensor) in own or (id(operation), at) in nodes:
            continue
        taken = operation._inbound_nodes[at].input_tensors
        nodes[id(operation), at] = [_maker(before)[0] for before in taken]
        todo.extend(taken)
    sources: dict = {}
    for key, at in sorted(nodes):
        sources.setdefault(key, []).extend(nodes[key, at])
    return inputs, sources, outputs


def _maker(tensor):
    operation, at, _ = tensor._keras_history
    return operation, at


def build_from(model, x, **arguments):
    """Build all layers of a model, as `fit` does: without computing anything.

    What is made in the trace of a compiled function would be left there.
    `compute_output_spec` has been what the trainer builds by since 3.0; its
    public namesake on layers does not build.

    Args:
        model: A Keras model.
        x: Structure of arrays.
        **arguments: What else its call takes.
    """

    def symbol(array):
        if array is None:
            return None
        name = "string" if array.dtype.kind in "OUS" else array.dtype.name
        if name == "float64":
            name = keras.config.floatx()
        dtype = keras.backend.standardize_dtype(name)
        return keras.KerasTensor(array.shape, dtype)

    symbols = tree.map_structure(symbol, x)
    backend.compute_output_spec(model, symbols, **arguments)


# Of recurrent layers


def loops_as_keras_does(layer):
    """Whether a recurrent layer runs over time by a loop of Keras's own.

    `RNN` and its subclasses have kept it in `inner_loop` since 3.0.

    Args:
        layer: A `keras.layers.RNN`.
    """
    loop = getattr(type(layer), "inner_loop", None)
    return getattr(loop, "__module__", "").startswith("keras.")


def rnn(layer, step, sequences, initial_state, mask):
    """Run over time as `RNN.inner_loop` does.

    No public function takes a structure of sequences.

    Args:
        layer: A `keras.layers.RNN`.
        step: Function of the inputs and the states of a time step.
        sequences: Structure of tensors `(batch, time, ...)`.
        initial_state: Structure of tensors.
        mask: Bool tensor `(batch, time)` or None.

    Returns:
        The last output, all outputs, and the states.
    """
    # The next Keras has a module of this name.
    function = getattr(backend.rnn, "rnn", backend.rnn)
    return function(
        step,
        sequences,
        initial_state,
        go_backwards=layer.go_backwards,
        mask=mask,
        unroll=layer.unroll,
        input_length=sequences[0].shape[1],
        zero_output_for_mask=layer.zero_output_for_mask,
        return_all_outputs=layer.return_sequences,
    )
