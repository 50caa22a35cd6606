"""TensorFlow: the parts of the package that only it can do."""

from keras_gradguard._backend.single import each_whole
from keras_gradguard._backend.single import over_processes
from keras_gradguard._backend.tensorflow.batches import BatchTap
from keras_gradguard._backend.tensorflow.batches import data_like
from keras_gradguard._backend.tensorflow.branching import assert_in_graph
from keras_gradguard._backend.tensorflow.branching import branch
from keras_gradguard._backend.tensorflow.branching import chooses_after
from keras_gradguard._backend.tensorflow.branching import known_now
from keras_gradguard._backend.tensorflow.counting import bin_counts
from keras_gradguard._backend.tensorflow.counting import bits
from keras_gradguard._backend.tensorflow.flag import Flag
from keras_gradguard._backend.tensorflow.forward import ForwardPass
from keras_gradguard._backend.tensorflow.forward import copies
from keras_gradguard._backend.tensorflow.forward import gradients_at_taps
from keras_gradguard._backend.tensorflow.forward import loss_beside
from keras_gradguard._backend.tensorflow.forward import values_after
from keras_gradguard._backend.tensorflow.forward import values_before
from keras_gradguard._backend.tensorflow.loops import count_calls
from keras_gradguard._backend.tensorflow.loops import loop_ring
from keras_gradguard._backend.tensorflow.loops import traced_by
from keras_gradguard._backend.tensorflow.loops import wait_for_records
from keras_gradguard._backend.tensorflow.norms import barrier
from keras_gradguard._backend.tensorflow.norms import change_norms
from keras_gradguard._backend.tensorflow.norms import l2_norms
from keras_gradguard._backend.tensorflow.norms import may_join
from keras_gradguard._backend.tensorflow.norms import zero_fractions
from keras_gradguard._backend.tensorflow.operations import operation_scope
from keras_gradguard._backend.tensorflow.operations import operations
from keras_gradguard._backend.tensorflow.outbox import Outbox
from keras_gradguard._backend.tensorflow.processes import own_cpu
from keras_gradguard._backend.tensorflow.processes import process
from keras_gradguard._backend.tensorflow.ring import Ring
from keras_gradguard._backend.tensorflow.sparse import densify
from keras_gradguard._backend.tensorflow.sparse import is_sparse
from keras_gradguard._backend.tensorflow.sparse import merge_rows
from keras_gradguard._backend.tensorflow.sparse import take_rows
from keras_gradguard._backend.tensorflow.sparse import to_dense
from keras_gradguard._backend.tensorflow.sparse import values_of
from keras_gradguard._backend.tensorflow.sparse import with_values
from keras_gradguard._backend.tensorflow.strategy import keep_collectives_apart
from keras_gradguard._backend.tensorflow.strategy import on_each_replica
from keras_gradguard._backend.tensorflow.strategy import reduce_over_replicas
from keras_gradguard._backend.tensorflow.strategy import replica
from keras_gradguard._backend.tensorflow.strategy import replicas
from keras_gradguard._backend.tensorflow.values import at_level
from keras_gradguard._backend.tensorflow.values import batch_sizes
from keras_gradguard._backend.tensorflow.values import compile_ahead
from keras_gradguard._backend.tensorflow.values import compiled
from keras_gradguard._backend.tensorflow.values import compiles_steps
from keras_gradguard._backend.tensorflow.values import compiling_fast
from keras_gradguard._backend.tensorflow.values import constant
from keras_gradguard._backend.tensorflow.values import copy
from keras_gradguard._backend.tensorflow.values import detach
from keras_gradguard._backend.tensorflow.values import float64
from keras_gradguard._backend.tensorflow.values import gradients_of
from keras_gradguard._backend.tensorflow.values import is_end_of_data
from keras_gradguard._backend.tensorflow.values import level
from keras_gradguard._backend.tensorflow.values import native
from keras_gradguard._backend.tensorflow.values import on_host
from keras_gradguard._backend.tensorflow.values import read
from keras_gradguard._backend.tensorflow.values import run_whole
from keras_gradguard._backend.tensorflow.values import take_flat
from keras_gradguard._backend.tensorflow.values import to_numpy

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
    "is_end_of_data",
    "is_sparse",
    "keep_collectives_apart",
    "known_now",
    "l2_norms",
    "level",
    "loop_ring",
    "loss_beside",
    "may_join",
    "merge_rows",
    "native",
    "on_each_replica",
    "on_host",
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
