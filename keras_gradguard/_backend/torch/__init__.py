"""torch: the parts of the package that only it can do."""

from keras_gradguard._backend.flag import Flag
from keras_gradguard._backend.host_batches import data_like
from keras_gradguard._backend.single import each_whole
from keras_gradguard._backend.single import keep_collectives_apart
from keras_gradguard._backend.single import on_each_replica
from keras_gradguard._backend.single import reduce_over_replicas
from keras_gradguard._backend.single import replica
from keras_gradguard._backend.single import replicas
from keras_gradguard._backend.torch.batches import BatchTap
from keras_gradguard._backend.torch.branching import assert_in_graph
from keras_gradguard._backend.torch.branching import branch
from keras_gradguard._backend.torch.branching import chooses_after
from keras_gradguard._backend.torch.branching import known_now
from keras_gradguard._backend.torch.counting import bin_counts
from keras_gradguard._backend.torch.counting import bits
from keras_gradguard._backend.torch.forward import gradients_at_taps
from keras_gradguard._backend.torch.forward import loss_beside
from keras_gradguard._backend.torch.loops import count_calls
from keras_gradguard._backend.torch.loops import loop_ring
from keras_gradguard._backend.torch.loops import traced_by
from keras_gradguard._backend.torch.loops import wait_for_records
from keras_gradguard._backend.torch.norms import barrier
from keras_gradguard._backend.torch.norms import change_norms
from keras_gradguard._backend.torch.norms import l2_norms
from keras_gradguard._backend.torch.norms import may_join
from keras_gradguard._backend.torch.norms import zero_fractions
from keras_gradguard._backend.torch.operations import operation_scope
from keras_gradguard._backend.torch.operations import operations
from keras_gradguard._backend.torch.outbox import Outbox
from keras_gradguard._backend.torch.processes import over_processes
from keras_gradguard._backend.torch.processes import own_cpu
from keras_gradguard._backend.torch.processes import process
from keras_gradguard._backend.torch.ring import Ring
from keras_gradguard._backend.torch.sparse import densify
from keras_gradguard._backend.torch.sparse import is_sparse
from keras_gradguard._backend.torch.sparse import merge_rows
from keras_gradguard._backend.torch.sparse import take_rows
from keras_gradguard._backend.torch.sparse import to_dense
from keras_gradguard._backend.torch.sparse import values_of
from keras_gradguard._backend.torch.sparse import with_values
from keras_gradguard._backend.torch.values import at_level
from keras_gradguard._backend.torch.values import batch_sizes
from keras_gradguard._backend.torch.values import compile_ahead
from keras_gradguard._backend.torch.values import compiled
from keras_gradguard._backend.torch.values import compiles_steps
from keras_gradguard._backend.torch.values import compiling_fast
from keras_gradguard._backend.torch.values import constant
from keras_gradguard._backend.torch.values import copy
from keras_gradguard._backend.torch.values import detach
from keras_gradguard._backend.torch.values import float64
from keras_gradguard._backend.torch.values import gradients_of
from keras_gradguard._backend.torch.values import is_end_of_data
from keras_gradguard._backend.torch.values import level
from keras_gradguard._backend.torch.values import native
from keras_gradguard._backend.torch.values import on_host
from keras_gradguard._backend.torch.values import read
from keras_gradguard._backend.torch.values import run_whole
from keras_gradguard._backend.torch.values import take_flat
from keras_gradguard._backend.torch.values import to_numpy

__all__ = [
    "BatchTap",
    "Flag",
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
    "values_of",
    "wait_for_records",
    "with_values",
    "zero_fractions",
]
