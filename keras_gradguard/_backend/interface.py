"""What a backend must offer: the only place that says so.

`keras_gradguard._backend.jax`, `.tensorflow` and `.torch` are modules of this
form. What `keras.ops` can do is not in it. Functions that run inside the
compiled step say so; the others run on the host.

Longer than 350 lines, since it holds the docstrings of all backends, once.
"""

from typing import Any
from typing import Protocol

Tensor = Any


class Ring(Protocol):
    """The last `rows` records, written in the step without a host sync.

    Args:
        rows: Number of records kept.
        columns: Number of values of a record.
        optimizer: Keras optimizer whose step counter tells the device, and
            to whose state the store belongs where a trainer carries that.
        name: Name of the store's variables.
    """

    def write(self, iterations, flag, values):
        """Append a record.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int or scalar, stored with the record.
            values: Float tensor of shape `(columns,)`.
        """

    def amend(self, first, values, where, step):
        """Overwrite columns of the latest record.

        Args:
            first: First column.
            values: Float tensor of shape `(k,)`.
            where: Bool scalar: whether to.
            step: The optimizer's step of the record, where steps run ahead.
        """

    def snapshot(self, state=None):
        """Copy of the store.

        Args:
            state: Map from `id(variable)` to its array, where a trainer holds
                the values; None if the variables do.
        """

    @property
    def variables(self):
        """Variables that were added to the optimizer's state."""


class Outbox(Protocol):
    """Brings a vector from the step to the host, when it asks.

    Args:
        name: Name that is like no log of a user.
        adds_up: Whether vectors are added until they are taken, or the
            latest is kept.

    Attributes:
        in_logs: Bool, whether the vector leaves the step as one of its logs.
    """

    in_logs: bool

    def post(self, result, vector):
        """Send a vector off.

        Args:
            result: What the train step returns.
            vector: Float tensor of one axis.

        Returns:
            What the train step has to return.
        """

    def stage(self, vector):
        """Have a vector sent off at the end of the step, by `post_staged`.

        Args:
            vector: Float tensor of one axis.
        """

    def post_staged(self, result, level):
        """Send off what was staged, if it can be seen from outside.

        Args:
            result: What the train step returns.
            level: The trace of the step.

        Returns:
            What the train step has to return.
        """

    def collect(self, logs):
        """Take the vector out of the logs that came from a step, or several.

        Args:
            logs: Dict. One of several steps has one more axis.

        Returns:
            Dict of the other logs.
        """

    def take_later(self):
        """What arrived last, on its way to the host, or None."""

    def take(self):
        """Host copy of what arrived since the last time, or None.

        The latest may stay on its way: it comes with the next call, at once.
        """

    def forget(self):
        """Drop what nobody took."""


class Scratch(Protocol):
    """What is worked out of each entry of a tensor, for a sum at once.

    Args:
        tensor: Tensor without a gradient. What the methods return has its
            shape, but for `sum`, and holds until the next of them is called.

    Attributes:
        values: The tensor as float32.
    """

    values: Any

    def sum(self, values, axes, keepdims):
        """Sum of some of them.

        Args:
            values: Float32 tensor of that shape.
            axes: Tuple of int.
            keepdims: Bool. Whether these axes stay, of length 1.
        """

    def squared(self, center, shape):
        """Squares of what each entry is off.

        Args:
            center: Float32 tensor.
            shape: The shape that it is to take, which fits.
        """

    def nonzero(self):
        """1 where an entry is not zero."""

    def magnitude(self):
        """Absolute values."""


class Flag(Protocol):
    """What the host tells a step that may be compiled already.

    Args:
        name: Name of its variable.
        raised: Bool. Whether it is raised at first.
    """

    def set(self, value):
        """Raise it, or lower it, for the executions to come.

        Args:
            value: Bool.
        """

    def when_raised(self, function):
        """Run a function in the step, if it is raised.

        Args:
            function: Callable without arguments that only assigns.
        """


class BatchTap(Protocol):
    """Takes down the batches that the train step gets, on the host.

    Args:
        steps: Int, batches of an execution at most.

    Attributes:
        spec: JSON of what the step was compiled for, besides the shapes of
            the arrays; None if it is nothing else.
    """

    spec: Any

    def through(self, dataset):
        """The data set to use instead, if the compiled step reads it.

        Args:
            dataset: What Keras iterates over.
        """

    def tap(self, args):
        """The arguments to use instead.

        Args:
            args: Those of the `train_function`.
        """

    def take(self):
        """List of structures of NumPy arrays, what the execution took."""


class Look(Protocol):
    """What a `ForwardPass` measures."""

    def gather(self, run, arguments):
        """Measure a pass.

        Args:
            run: Callable that runs the model; it returns the loss, where that
                is asked for.
            arguments: What the pass runs on, a tuple.

        Returns:
            A structure of what was measured; a vector if `packed` is None.
        """

    def packed(self, gathered):
        """The vector that a structure makes, in the step or on the host."""

    def shortened(self, gathered):
        """A structure with fewer numbers, where the way to the host is long."""

    def send(self, vector):
        """Send off the vector from inside the step, where nobody takes it."""


class ForwardPass(Protocol):
    """A pass forward on the batch of a coming step, which stays as it is.

    It draws from no generator and changes no variable. What it cannot run a
    second time it does not run: it fails with a `CannotRunAgainError`.

    Args:
        model: Keras model, built.
        xla: Whether the step is compiled by XLA.
        custom: Whether the model's train step is the user's own.

    Attributes:
        show: Callable that gets the batch of each execution that is looked
            at, a structure of tensors, where this process sees it; or None.
    """

    show: Any

    def add(self, look, on_failure, of_loss):
        """Add something to look for, before `wrap`.

        Args:
            look: A `Look`.
            on_failure: Callable that takes an exception. Then there is no
                such look any more.
            of_loss: Whether the loss is asked for; None where a train step of
                the user's own does not compute it by `compute_loss`.
        """

    def wrap(self, function):
        """The function to run instead of what Keras made as `train_function`.

        Args:
            function: That.
        """

    def look(self, args, kept=None):
        """Look at the batch of the coming execution.

        What has to be compiled first is compiled while the step is, and looks
        behind it at copies of what the step took.

        Args:
            args: Arguments of the `train_function`.
            kept: Dict from variables' `id` to copies that there are already
                of what they hold, or None.

        Returns:
            The arguments to use instead, and a list of something to `take`,
            or None, for each look that was added.
        """

    def take(self, vector):
        """What a look found, on its way to the host; behind the execution.

        Args:
            vector: What `look` returned.

        Returns:
            A vector, a structure that is to be packed, or None.
        """


class LoopLook(Protocol):
    """A pass forward for compiled steps of loops that are not `fit`.

    Args:
        model: A Keras model, built.
        tap: Its `LoopTap`.

    Attributes:
        keeps: Whether the step calls the model on what can be seen.
        is_looking: Whether the pass is being traced.
    """

    keeps: bool
    is_looking: bool

    def before(self):
        """Note what the model holds, in the step and before its call."""

    def keep(self, inputs, training, outputs, state, xla):
        """Note what the model is called on in the step that is traced.

        Args:
            inputs: Structure of tensors.
            training: Bool, or None if that was not said.
            outputs: What the model gave.
            state: What `before` returned.
            xla: Whether XLA compiles the step.

        Raises:
            MakesItsBatchError: If the pass cannot have them.
        """

    def keep_targets(self, given):
        """Note what the model computes a loss of.

        Args:
            given: Dict of the arguments of `compute_loss`.

        Raises:
            MakesItsBatchError: If the pass cannot have them.
        """

    def look_inside(self, level, step, due):
        """Measure inside of the step, where that is how it is done.

        Args:
            level: The trace of the step, see `level`.
            step: Integer scalar, the optimizer's step.
            due: Bool scalar: whether to measure it.

        Raises:
            MakesItsBatchError: If something is not known at that level.
        """

    def arrived(self):
        """List of (step, vector) that came from inside of steps."""

    def hold(self, function, arguments):
        """Note what the model holds, and a call's arguments, on the host.

        Args:
            function: As `traced_by` returned it.
            arguments: A tuple and a dict.
        """

    def look(self):
        """Measure what `hold` noted: the vector that the tap packs."""

    def drop(self):
        """Let go of what `keep` and `hold` noted of a call."""


class Backend(Protocol):
    """The functions and classes of a backend."""

    # Values and functions

    def read(self, variable):
        """Value of a variable, Keras's or the backend's own, as a tensor."""

    def copy(self, variable):
        """Value of a variable that a later assignment does not change."""

    def native(self, variable):
        """The backend's own variable in a Keras variable.

        Users may pass that to an optimizer as well.
        """

    def constant(self, values, dtype, like):
        """Tensor of Python numbers.

        Args:
            values: List of numbers.
            dtype: Str.
            like: Tensor on whose device it is to be.
        """

    def detach(self, tensor):
        """The tensor, cut off from the gradient."""

    def to_numpy(self, tensor):
        """Host copy of a tensor, or of a ring's `snapshot` as one tensor."""

    def on_host(self, tensors):
        """Tensors as arrays, without a copy, where that spares to compile.

        They may be read until the next step, and are not to be kept. With
        several processes the answer is the same on all.

        Args:
            tensors: List of tensors.

        Returns:
            List of NumPy arrays. None where some are with an accelerator or
            another process, or where nothing would be compiled.
        """

    def at_hand(self, structure):
        """A step's own tensors as arrays, where no one waits for them.

        So it is where operations run one by one, on the host.

        Args:
            structure: Nested dicts, lists and tuples, of tensors and others.

        Returns:
            The same of NumPy arrays, which are not to be kept. None where it
            is not so.
        """

    def take_flat(self, tensor, positions):
        """Chosen entries of a tensor, or all (None), as a vector."""

    def batch_sizes(self, tensors):
        """Length of the first axis of each tensor, float32 of shape `(n,)`."""

    def slices(self, tensors, axis):
        """Cut tensors where each operation on them takes memory.

        Args:
            tensors: List of tensors of equal shape.
            axis: Int. Which axis is cut.

        Returns:
            List of tuples of views, one of each tensor: what is worked out
            for a tuple takes little memory. A single one where nothing is.
        """

    def entries(self, tensor):
        """List of views that hold each entry once, in any order and shape.

        What is worked out for one of them takes little memory.
        """

    def bits(self, tensor):
        """The bits of a float32 tensor as int32."""

    def float64(self):
        """Context in which new tensors may be float64."""

    def gradients_of(self, function):
        """A function and its gradient, as one program that is compiled once.

        Args:
            function: Callable of a list of tensors to differentiate by, and
                of structures of tensors, that returns a scalar and a structure
                of tensors.

        Returns:
            Callable of the same, always of the same shapes, that returns the
            scalar, a list of the gradients, None where there is none, and the
            structure.
        """

    def gradients_at_taps(self, run):
        """Gradients of a loss with respect to zeros that were added.

        Args:
            run: Function of a callable, which takes a shape and a dtype and
                returns zeros; returns the loss and a structure of tensors.
                It may be run twice.

        Returns:
            List of tensors, one for each of the zeros, and the structure.
        """

    def loss_beside(self, model, arguments):
        """Callable that runs a model on a batch, and changes nothing.

        Args:
            model: Keras model.
            arguments: What its train step is called with.

        Returns:
            Function without arguments that returns the loss; None where a
            train step of the user's own does not compute it by `compute_loss`.
        """

    def run_whole(self, function, *arguments):
        """Run a function once, as one compiled program where steps are slow."""

    def compiling_fast(self):
        """Context in which compiling takes less time, and running more."""

    def compiled(self, function):
        """The function, compiled where the backend compiles at all."""

    def compile_ahead(self, function, *arguments):
        """Begin to compile a function while something else runs.

        Args:
            function: What `compiled` returned.
            *arguments: Arguments like those that it will be called with.

        Returns:
            The function to call in its place, which waits until it is done.
        """

    # Norms and counts

    def barrier(self, tensors, xla=None):
        """Copies of tensors that no compiler fuses or joins with the originals.

        A statistic that reads the gradients would otherwise change how XLA
        fuses the update, and TensorFlow's graphs join it, and with it the last
        bits of the weights. The originals stay as they are, for the update.

        Args:
            tensors: List of tensors, none of them sparse.
            xla: Whether the code is compiled by XLA. Defaults to
                what the running code tells.

        Returns:
            List of tensors with the same values.
        """

    def l2_norms(self, tensors, xla=None):
        """L2 norm of each tensor, safe from overflow and underflow.

        Args:
            tensors: List of n dense float tensors.
            xla: Whether the code is compiled by XLA. Defaults to
                what the running code tells.

        Returns:
            Float32 tensor of shape `(n,)`.
        """

    def change_norms(self, before, after, xla=None):
        """L2 norms of tensors, then those of their changes.

        Args:
            before: List of n dense float tensors.
            after: List of n tensors of the same shapes.
            xla: Whether the code is compiled by XLA. Defaults to
                what the running code tells.

        Returns:
            Float32 tensor of shape `(2 n,)`.
        """

    def may_join(self):
        """Whether small tensors may be read as one.

        Where XLA compiles a graph, that changes how it fuses the rest of the
        step, and its last bits would differ.
        """

    def each_whole(self, tensors):
        """Small tensors that are about to be joined.

        Where one lies on several devices, the others would be laid so, too,
        and the step from which they come would add up in another order.
        """

    def zero_fractions(self, tensors):
        """Share of exact zeros of each tensor, float32 of shape `(n,)`."""

    def bin_counts(self, bins, count, xla=False):
        """How often each of the first bins occurs.

        Args:
            bins: Int32 tensor of any shape, none negative.
            count: Python int, bins to count; larger ones are left out.
            xla: Whether the code is compiled by XLA.

        Returns:
            Integer tensor of shape `(count,)`.
        """

    # Sparse gradients

    def is_sparse(self, gradient):
        """Whether a gradient holds rows that may repeat."""

    def densify(self, gradient, xla=False):
        """Gradient with repeated rows of an `IndexedSlices` summed."""

    def merge_rows(self, gradient):
        """Sum the rows of a sparse gradient that belong to the same index.

        The shape stays as it is, so that XLA can compile it: rows that became
        free hold zeros and a valid index.

        Args:
            gradient: Tensor, or `tf.IndexedSlices` with repeated indices.

        Returns:
            A gradient of the same kind, each of whose indices has one row that
            is not zero at most.
        """

    def take_rows(self, weight, gradient):
        """The rows of a weight that a gradient has; all if it is dense."""

    def to_dense(self, gradient):
        """The gradient as one tensor of its variable's shape."""

    def values_of(self, gradient):
        """The numbers in a gradient: its merged rows if it is sparse."""

    def with_values(self, gradient, values):
        """A gradient with other numbers, as sparse as it was."""

    # Branching

    def branch(self, condition, then, otherwise, variables, exact=False):
        """Run `then` or `otherwise`, both of which only assign to variables.

        Args:
            condition: Scalar bool tensor that only the device knows.
            then: Function without arguments.
            otherwise: Function without arguments.
            variables: Every variable that either of them reads or changes.
            exact: Whether `then` has to give the bits that it gives without a
                branch, at the cost of a copy of the state. XLA fuses gradients
                and update otherwise, where they are in one computation.
        """

    def chooses_after(self, exact):
        """Whether `branch` runs both sides and then chooses.

        Args:
            exact: As `branch` takes it.
        """

    def known_now(self, condition):
        """The bool of a condition, None where a compiled step cannot tell.

        With an accelerator the host waits for it here. Keras's optimizers on
        torch do so anyway, for each number that they bring to the device, and
        a choice there would take three copies of weights and moments.
        """

    def assert_in_graph(self, condition, message):
        """Make the compiled step fail with `message` unless `condition` holds.

        Returns:
            Whether a step can fail where this runs: `known_now` says it before.
        """

    # A step, one operation at a time

    def BatchTap(self, steps):
        """Make a `BatchTap`."""

    def data_like(self, batches, spec):
        """Data for `fit` that have the step compiled as it was.

        Args:
            batches: List of structures of NumPy arrays.
            spec: That of the `BatchTap` that took them down.

        Returns:
            None where that does not depend on it.
        """

    def some_rows(self, tensor, step, count):
        """Some rows of a batch, as an array or tensor of their own.

        Nothing is compiled for it.

        Args:
            tensor: Part of a batch as the train step gets it.
            step: Int. One row of so many is taken.
            count: Int. Rows at most.

        Returns:
            What `to_numpy` takes: a NumPy array, or a tensor where the host
            would have to wait. None where it is no tensor of one device of
            this process, or would be dear to bring to the host.
        """

    def operation_scope(self, label):
        """Context: operations in it bear a label.

        Args:
            label: Int.
        """

    def operations(self, function, state, batch):
        """Run a step, and look at each operation.

        Args:
            function: Callable of state and batch that returns two lists of
                tensors, loss and gradients.
            state: Structure of arrays, where a trainer holds the state; else
                None.
            batch: Structure of tensors.

        Returns:
            A `Step`.
        """

    # Processes and replicas

    def process(self, model):
        """Place of this process among those that train a model together.

        Args:
            model: A Keras model that is about to train.

        Returns:
            Index of this process, 0 for the chief, and how many there are.
        """

    def over_processes(self, model, tensor):
        """The mean over the processes, where each sees its own samples only.

        Call it at the same steps in all of them.

        Args:
            model: A Keras model that trains.
            tensor: Float32 tensor, read in the step of this process.
        """

    def own_cpu(self):
        """Context in which tensors are made on a CPU of this very process."""

    def replica(self):
        """Position of the replica that the code runs on; 0 outside of all.

        None where one trace serves all of them.
        """

    def replicas(self):
        """Replicas to reduce over: gradients are those of the whole batch."""

    def on_each_replica(self, function):
        """Run a function on every replica, also where all of them have met.

        Args:
            function: Callable without arguments, whose result is dropped.
        """

    def keep_collectives_apart(self, model=None):
        """Number the coming reductions as none before of this process.

        A step that is watched, or clips, has some of its own. TensorFlow takes
        them for those of an earlier strategy if their numbers are the same.

        Args:
            model: A Keras model. Defaults to none: the present strategy's.
        """

    def reduce_over_replicas(self, tensors):
        """Sum of each tensor over the replicas.

        Args:
            tensors: List of tensors or `tf.IndexedSlices`.

        Returns:
            List of the same kinds, equal on every replica; `tensors` itself if
            there is one replica.
        """

    # Where a step runs

    def level(self, arguments):
        """The trace that a step runs in: where its arguments live.

        Args:
            arguments: Whatever the step was called with.
        """

    def at_level(self, tensor, level):
        """Whether a tensor may be used at a level, not only in one inside."""

    def compiles_steps(self):
        """Whether a train step is compiled as one."""

    def draw_of_its_own(self):
        """What in the step being traced draws by a random state of its own.

        Returns:
            Str, an operation whose state is no variable, so that each
            variant of the step has one; or None.
        """

    def check_runs_again(self, function, data):
        """Raise `CannotRunAgainError` where a function may not run twice.

        Args:
            function: Callable that takes what is in `data`.
            data: Structure of tensors of the step being traced.
        """

    def is_end_of_data(self, error):
        """Whether an exception only says that the data set is exhausted."""

    # What leaves the step

    def Ring(self, rows, columns, optimizer, name):
        """Make a `Ring`."""

    def Outbox(self, name, adds_up):
        """Make an `Outbox`."""

    # What enters it

    def Flag(self, name, raised):
        """Make a `Flag`."""

    def Scratch(self, tensor):
        """Make a `Scratch`."""

    # Loops that are not `fit`

    def loop_ring(self, rows, columns, optimizer, name):
        """Make the `Ring` of an optimizer that is applied in such a loop."""

    def traced_by(self, arguments):
        """Whether a step is being traced, whether XLA compiles it, by what.

        Args:
            arguments: Whatever the step was called with.

        Returns:
            `(traced, xla, function)`: `function` is one that `count_calls`
            takes, or None.
        """

    def count_calls(self, function, begins, ended, patches):
        """Call back around each call of a function that traces a step.

        Args:
            function: As `traced_by` returned it.
            begins: Callable that takes its arguments, a tuple and a dict.
            ended: Callable without arguments.
            patches: `Patches` that will undo it.
        """

    def value_now(self, variable):
        """Value of a variable on the host, also while a step is traced.

        Args:
            variable: Keras variable that is not made in this trace.

        Returns:
            NumPy array.
        """

    def compile_anew(self, patches):
        """Let what compiles the step now compile it anew after the watch.

        Args:
            patches: `Patches` of the watch.
        """

    def is_eager(self):
        """Whether a step's values can be read where they are computed."""

    def is_traced(self, variables):
        """Whether what runs now is being traced.

        Args:
            variables: List of Keras variables that it may train.
        """

    def arguments_now(self, function):
        """Arguments of the call that traces a function, a tuple and a dict.

        Args:
            function: As `traced_by` returned it.
        """

    def notes_gradients(self, variables):
        """Whether what runs now is noted, for gradients to be taken of it.

        Args:
            variables: List of Keras variables that it may train.
        """

    def wait_for_records(self):
        """Wait until what steps have sent has arrived."""


class CompilingBackend(Backend, Protocol):
    """A backend that compiles the train step as one, as all but torch do."""

    def LoopLook(self, model, tap):
        """Make a `LoopLook`."""

    def ForwardPass(self, model, xla, custom):
        """Make a `ForwardPass`."""

    def copies(self, values):
        """Copies of tensors that a later step does not change, or take."""

    def kept(self, values):
        """What tensors hold, whatever a later step does; to be read, not kept.

        Args:
            values: List of tensors.

        Returns:
            List of NumPy arrays, where `on_host` gives some; else of tensors.
        """

    def values_before(self, model, args):
        """Function from a variable to its tensor before an execution.

        Args:
            model: Keras model.
            args: Arguments of its `train_function`.
        """

    def values_after(self, model, result):
        """Function from a variable to its tensor after an execution.

        Args:
            model: Keras model.
            result: What its `train_function` returned.
        """


class StatelessBackend(CompilingBackend, Protocol):
    """A backend whose trainer holds the state, as that of JAX does."""

    def in_stateless_scope(self, variables, values, function):
        """Run `function` on variables that hold `values`.

        Args:
            variables: List of Keras variables.
            values: List of arrays, their current values.
            function: Callable without arguments that assigns to them.

        Returns:
            List of arrays, the values afterwards.
        """

    def state_by_variable(self, optimizer, state):
        """Map `id(variable)` to its array in a trainer's state."""

    def one_of_many(self, logs):
        """Logs of a step with an axis for the steps in front."""

    def last_of_many(self, logs):
        """Logs of the last of several steps, from their concatenation."""
