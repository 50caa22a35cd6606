"""JAX: the parts of the package that only it can do."""

from keras_gradguard._backend.flag import Flag
from keras_gradguard._backend.host_batches import data_like
from keras_gradguard._backend.jax.ahead import compile_ahead
from keras_gradguard._backend.jax.batches import BatchTap
from keras_gradguard._backend.jax.branching import assert_in_graph
from keras_gradguard._backend.jax.branching import branch
from keras_gradguard._backend.jax.branching import chooses_after
from keras_gradguard._backend.jax.branching import known_now
from keras_gradguard._backend.jax.counting import bin_counts
from keras_gradguard._backend.jax.counting import bits
from keras_gradguard._backend.jax.forward import ForwardPass
from keras_gradguard._backend.jax.forward import gradients_at_taps
from keras_gradguard._backend.jax.forward import loss_beside
from keras_gradguard._backend.jax.forward import values_after
from keras_gradguard._backend.jax.forward import values_before
from keras_gradguard._backend.jax.loops import count_calls
from keras_gradguard._backend.jax.loops import loop_ring
from keras_gradguard._backend.jax.loops import traced_by
from keras_gradguard._backend.jax.loops import wait_for_records
from keras_gradguard._backend.jax.norms import barrier
from keras_gradguard._backend.jax.norms import change_norms
from keras_gradguard._backend.jax.norms import l2_norms
from keras_gradguard._backend.jax.norms import may_join
from keras_gradguard._backend.jax.norms import zero_fractions
from keras_gradguard._backend.jax.operations import operation_scope
from keras_gradguard._backend.jax.operations import operations
from keras_gradguard._backend.jax.outbox import Outbox
from keras_gradguard._backend.jax.outbox import last_of_many
from keras_gradguard._backend.jax.outbox import one_of_many
from keras_gradguard._backend.jax.processes import own_cpu
from keras_gradguard._backend.jax.processes import process
from keras_gradguard._backend.jax.ring import Ring
from keras_gradguard._backend.jax.sharding import each_whole
from keras_gradguard._backend.jax.sparse import densify
from keras_gradguard._backend.jax.sparse import is_sparse
from keras_gradguard._backend.jax.sparse import merge_rows
from keras_gradguard._backend.jax.sparse import take_rows
from keras_gradguard._backend.jax.sparse import to_dense
from keras_gradguard._backend.jax.sparse import values_of
from keras_gradguard._backend.jax.sparse import with_values
from keras_gradguard._backend.jax.state import in_stateless_scope
from keras_gradguard._backend.jax.state import state_by_variable
from keras_gradguard._backend.jax.values import at_level
from keras_gradguard._backend.jax.values import batch_sizes
from keras_gradguard._backend.jax.values import compiled
from keras_gradguard._backend.jax.values import compiles_steps
from keras_gradguard._backend.jax.values import compiling_fast
from keras_gradguard._backend.jax.values import constant
from keras_gradguard._backend.jax.values import copies
from keras_gradguard._backend.jax.values import copy
from keras_gradguard._backend.jax.values import detach
from keras_gradguard._backend.jax.values import float64
from keras_gradguard._backend.jax.values import gradients_of
from keras_gradguard._backend.jax.values import is_end_of_data
from keras_gradguard._backend.jax.values import level
from keras_gradguard._backend.jax.values import native
from keras_gradguard._backend.jax.values import on_host
from keras_gradguard._backend.jax.values import read
from keras_gradguard._backend.jax.values import run_whole
from keras_gradguard._backend.jax.values import take_flat
from keras_gradguard._backend.jax.values import to_numpy
from keras_gradguard._backend.single import keep_collectives_apart
from keras_gradguard._backend.single import on_each_replica
from keras_gradguard._backend.single import over_processes
from keras_gradguard._backend.single import reduce_over_replicas
from keras_gradguard._backend.single import replica
from keras_gradguard._backend.single import replicas

__all__ = [
    "BatchTap",
    "Flag",
    "ForwardPass",
    "Outbox",
    "Ring",
    "assert_in_graph",
    "at_level",
    "barrier",
    "batch_sizes",
    "bin_counts",
    "bits",
    "branch",
    "change_norms",
    "chooses_after",
    "compile_ahead",
    "compiled",
    "compiles_steps",
    "compiling_fast",
    "constant",
    "copies",
    "copy",
    "count_calls",
    "data_like",
    "densify",
    "detach",
    "each_whole",
    "float64",
    "gradients_at_taps",
    "gradients_of",
    "in_stateless_scope",
    "is_end_of_data",
    "is_sparse",
    "keep_collectives_apart",
    "known_now",
    "l2_norms",
    "last_of_many",
    "level",
    "loop_ring",
    "loss_beside",
    "may_join",
    "merge_rows",
    "native",
    "on_each_replica",
    "on_host",
    "one_of_many",
    "operation_scope",
    "operations",
    "over_processes",
    "own_cpu",
    "process",
    "read",
    "reduce_over_replicas",
    "replica",
    "replicas",
    "run_whole",
    "state_by_variable",
    "take_flat",
    "take_rows",
    "to_dense",
    "to_numpy",
    "traced_by",
    "values_after",
    "values_before",
    "values_of",
    "wait_for_records",
    "with_values",
    "zero_fractions",
]
