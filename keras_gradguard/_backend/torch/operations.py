"""torch: a step, one operation at a time.

A mode sees each function of torch on the way forward. On the way back, hooks
on the nodes of the graph see what goes in and what comes out.
"""

import math
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from keras_gradguard._backend.operations import BATCH
from keras_gradguard._backend.operations import CONSTANT
from keras_gradguard._backend.operations import OPERATION
from keras_gradguard._backend.operations import STATE
from keras_gradguard._backend.operations import Operation
from keras_gradguard._backend.operations import Step
from keras_gradguard._backend.operations import calling_frames
from keras_gradguard._backend.operations import pushed

_labels: list = []


def operation_scope(label):
    return pushed(_labels, label)


def operations(function, state, batch):
    del state  # the variables hold it
    step = Step()
    mode = _Mode(step.operations, batch)
    try:
        with mode:
            loss, gradients = function(None, batch)
    except Exception as error:
        step.error = error
        step.broken = mode.broken
        return step
    finally:
        mode.remove_hooks()
    step.loss = mode.places(loss)
    step.gradients = mode.gradients() or mode.places(gradients)
    return step


def _tensors(structure):
    if isinstance(structure, torch.Tensor):
        return [structure]
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [t for each in structure for t in _tensors(each)]
    return []


def _has_nonfinite(argument):
    """Whether a number among arguments is NaN or infinite."""
    if isinstance(argument, float):
        return not math.isfinite(argument)
    if isinstance(argument, np.ndarray | np.floating):
        return argument.dtype.kind == "f" and not np.isfinite(argument).all()
    if isinstance(argument, dict):
        argument = tuple(argument.values())
    if isinstance(argument, list | tuple):
        return any(map(_has_nonfinite, argument))
    return False


def _take_in(operation, tensor):
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.is_floating_point() and tensor.device.type != "meta":
        tensor = tensor.detach()
        if tensor.is_sparse:
            tensor = tensor.coalesce().values()
        operation.take_in(tensor.double().cpu().numpy())


class _Mode(TorchFunctionMode):
    """Notes what each function of torch gives.

    Args:
        operations: List to append to.
        batch: Structure of tensors.
    """

    def __init__(self, operations, batch):
        super().__init__()
        self.broken = -1
        self._operations = operations
        self._batch = {id(t) for t in _tensors(batch)}
        self._of_tensor: dict = {}
        self._nodes: dict = {}
        self._producers: dict = {}
        self._leaves: list = []
        self._hooks: list = []
        # What an id stands for must not be freed.
        self._alive: list = [batch]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        taken = (
            [] if func is torch.Tensor.backward else _tensors([args, kwargs])
        )
        inputs = [at for at in map(self._place, taken) if at >= 0]
        if _has_nonfinite(args) or _has_nonfinite(kwargs):
            inputs.append(self._constant())
        name = getattr(func, "__name__", str(func))
        operation = Operation(
            OPERATION,
            name.strip("_") or name,
            _labels[-1] if _labels else -1,
            [],
            inputs,
        )
        try:
            result = func(*args, **kwargs)
        except Exception:
            if self.broken < 0:
                operation.frames = calling_frames()
                self._operations.append(operation)
                self.broken = len(self._operations) - 1
            raise
        given = _tensors(result)
        if not given or (name == "__get__" and not _is_new(given, taken)):
            return result
        if func is torch.Tensor.detach:
            operation.name = "detach"
        for tensor in given:
            _take_in(operation, tensor)
        operation.frames = calling_frames()
        self._operations.append(operation)
        at = len(self._operations) - 1
        for tensor in given:
            self._of_tensor[id(tensor)] = at
            self._alive.append(tensor)
            if tensor.grad_fn is not None:
                self._watch(tensor.grad_fn, at)
        return result

    def _constant(self):
        """Position of a number that is written into the code."""
        self._operations.append(Operation(CONSTANT, CONSTANT, infinities=1))
        return len(self._operations) - 1

    def _place(self, tensor):
        """Position of what gave a tensor; -1 for finite ones from outside."""
        at = self._of_tensor.get(id(tensor))
        if at is None:
            kind = CONSTANT
            if id(tensor) in self._batch:
                kind = BATCH
            elif isinstance(tensor, torch.nn.Parameter):
                kind = STATE
            operation = Operation(kind, kind)
            _take_in(operation, tensor)
            at = -1
            if kind != CONSTANT or not operation.is_finite:
                self._operations.append(operation)
                at = len(self._operations) - 1
            self._of_tensor[id(tensor)] = at
            self._alive.append(tensor)
        return at

    # The way back

    def _watch(self, node, at):
        """Hook all nodes that an operation has added to the graph."""
        todo = [node]
        while todo:
            node = todo.pop()
            if node is None or node in self._nodes:
                continue
            self._nodes[node] = at
            if hasattr(node, "variable"):
                self._leaves.append(node)
                continue
            self._hooks.append(node.register_hook(self._hook(node, at)))
            todo += [before for before, _ in node.next_functions]

    def _hook(self, node, at):
        forward = self._operations[at]

        def hook(grad_inputs, grad_outputs):
            operation = Operation(
                OPERATION,
                forward.name,
                forward.label,
                forward.frames,
                [at, *self._producers.get(node, ())],
                backward=True,
            )
            for tensor in _tensors(list(grad_inputs)):
                _take_in(operation, tensor)
            self._operations.append(operation)
            here = len(self._operations) - 1
            for before, _ in node.next_functions:
                if before is not None:
                    self._producers.setdefault(before, []).append(here)

        return hook

    # Afterwards

    def remove_hooks(self):
        """Leave the graph as it was."""
        for hook in self._hooks:
            hook.remove()

    def places(self, tensors):
        """Positions of what gave tensors."""
        places = [self._of_tensor.get(id(t), -1) for t in _tensors(tensors)]
        return [at for at in places if at >= 0]

    def gradients(self):
        """Positions of what gave the gradients of leaves."""
        return [
            at for leaf in self._leaves for at in self._producers.get(leaf, ())
        ]


def _is_new(given: Any, taken: Any) -> bool:
    known = {id(tensor) for tensor in taken}
    return any(id(tensor) not in known for tensor in given)
