"""What is known of a run but its numbers: the typed view of `Trace.meta`.

It may come from a file, so nothing in it is taken for granted: what does not
fit its type is left out.
"""

import collections
import dataclasses
import functools
import itertools
import re
import types
import typing

from keras_gradguard.trace.facts import DataShapes
from keras_gradguard.trace.facts import OptimizerFacts
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.facts import Reference


@dataclasses.dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a model, its optimizer, its data and the plan.

    Attributes:
        backend: Name of Keras's backend, or None.
        keras_version: Str, or None.
        model: Name of the model, or None.
        model_kind: `"sequential"`, `"functional"`, `"subclassed"`, or None.
        optimizer: `OptimizerFacts`.
        learning_rate: Float above 0: the one that the run started with, also
            where a schedule sets it. None if not known.
        loss_name: Name of the loss, of several ones behind commas, or None.
        loss_weight: Float, 1 if nothing is known of it, None where it is not
            one number.
        compiled: Dict of the arguments of `compile`, see
            `models.calls.compiled_with`.
        inputs: Int, how many arrays the model takes, or None.
        outputs: Tuple of `Output`, one for each output of the model.
        own_code: Dict of what in the user's own layers and loss is not safe
            at 0 or cuts gradients off, see `models.run_info`.
        epochs_planned: Int, or None.
        steps_per_epoch: Int, or None.
        data: `DataShapes`.
        layers: Dict from layer path to a dict of what is known of the layer,
            as `models.layers.layer_info` gives it.
        sites: Dict from the path of an activation to a dict with
            `activation`, `can_die`, `saturates`.
        rescaling: Paths of the layers that only rescale, or None.
        linear: Paths of the hidden layers where no activation stands before
            the last ones, or None.
        noise: Dict from the path of a layer that drops or adds at random in
            training to a dict with `class`, `name` and `rate`.
        alone: Dict from the path of a normalization or a softmax over one
            number each to a dict with `class`, `name` and `of`, which it is.
        others: Dict from the name that an optimizer has in the model, beside
            the compiled one, to its `OptimizerFacts`.
        capsule: Whether the run was asked to keep a capsule.
        batches: Whether the data came as batches, and not as arrays.
        reference: `Reference`, what is to be had from rows of the batches, or
            None.
        uncleared: Bool. Whether a pass backward of the user's own train step
            found gradients that an update had used, on torch.
    """

    backend: str | None = None
    keras_version: str | None = None
    model: str | None = None
    model_kind: str | None = None
    optimizer: OptimizerFacts = dataclasses.field(
        default_factory=OptimizerFacts
    )
    learning_rate: float | None = None
    loss_name: str | None = None
    loss_weight: float | None = 1.0
    compiled: dict = dataclasses.field(default_factory=dict)
    inputs: int | None = None
    outputs: tuple[Output, ...] = ()
    own_code: dict = dataclasses.field(default_factory=dict)
    epochs_planned: int | None = None
    steps_per_epoch: int | None = None
    data: DataShapes = dataclasses.field(default_factory=DataShapes)
    layers: dict = dataclasses.field(default_factory=dict)
    sites: dict = dataclasses.field(default_factory=dict)
    rescaling: list | None = None
    linear: list | None = None
    noise: dict = dataclasses.field(default_factory=dict)
    alone: dict = dataclasses.field(default_factory=dict)
    others: dict = dataclasses.field(default_factory=dict)
    capsule: bool = False
    batches: bool = False
    reference: Reference | None = None
    uncleared: bool = False

    @classmethod
    def of(cls, meta):
        """Read what the `meta` of a trace tells.

        Args:
            meta: Dict, from a run or a file.
        """
        known = _fitting(cls, meta)
        described = meta.get("optimizer")
        described = described if isinstance(described, dict) else {}
        name = described.get("name") or described.get("class")
        optimizer = _read(OptimizerFacts, {**described, "name": name})
        rates = (known.get("learning_rate"), optimizer.learning_rate)
        outputs = meta.get("outputs")
        outputs = outputs if isinstance(outputs, list) else []
        known |= {
            "optimizer": optimizer,
            "learning_rate": next(filter(_positive, rates), None),
            # Where it is known to be not one number, it is none.
            "loss_weight": known.get("loss_weight")
            if "loss_weight" in meta
            else 1.0,
            "outputs": tuple(_read(Output, output) for output in outputs),
            "data": _read(DataShapes, meta.get("data")),
            "reference": _read(Reference, meta["reference"])
            if isinstance(meta.get("reference"), dict)
            else None,
            "layers": _dicts(meta.get("layer_info")),
            "sites": _dicts(meta.get("sites")),
            "noise": _dicts(meta.get("noise")),
            "alone": _dicts(meta.get("alone")),
            "others": {
                name: _read(OptimizerFacts, told)
                for name, told in _dicts(meta.get("others")).items()
            },
        }
        for key in ("epochs_planned", "steps_per_epoch"):
            if not _positive(known.get(key)):
                known[key] = None
        return cls(**known)

    @property
    def output(self):
        """`Output` of a model with one output, or None."""
        return self.outputs[0] if len(self.outputs) == 1 else None

    @property
    def several_inputs(self):
        """Bool. Whether the model is known to take several inputs."""
        return (self.inputs or 1) > 1

    @property
    def own_loss(self):
        """Where a loss of the user's own is from, or None for one of Keras.

        `"function"` of one that `compile` got, `"model"` of one that the model
        computes itself.
        """
        if self.model_kind is None or "loss" in self.compiled:
            return None
        return "model" if self.loss_name is None else "function"

    @property
    def own_layers(self):
        """Dict from the path of a layer of the user's own to a list of str.

        These are the names of functions in it that are not safe at 0.
        """
        found = self.own_code.get("layers")
        found = found if isinstance(found, dict) else {}
        return {k: v for k, v in found.items() if isinstance(v, list)}

    @property
    def untracked(self):
        """List of dicts of the layers that the model calls and hides."""
        found = self.own_code.get("untracked")
        found = found if isinstance(found, list) else []
        keys = ("name", "class", "path")
        return [
            one
            for one in found
            if isinstance(one, dict)
            and all(isinstance(one.get(key), str) for key in keys)
        ]

    @property
    def own_cuts(self):
        """Dict from the path of an own layer to what cuts gradients off in it.

        Each a dict as `models.own_lines` gives it.
        """
        found = _dicts(self.own_code.get("cuts"))
        return {path: told for path, told in found.items() if _is_cut(told)}

    @property
    def own_in_front(self):
        """List of the paths of own layers before the first with a kernel."""
        front = self.own_code.get("front")
        front = front if isinstance(front, list) else []
        known = self.own_layers
        return [at for at in front if isinstance(at, str) and at in known]

    def is_held(self, layer):
        """Return whether a layer is in one of the user's own."""
        return any(str(layer).startswith(f"{own}/") for own in self.own_layers)

    def info(self, layer):
        """Return what is known of a layer path, a dict; {} if nothing is."""
        return self.layers.get(str(layer), {})

    def of_user(self, layer):
        """Return the path of the layer that the user made, and its facts.

        That of a recurrent layer or wrapper for what is inside of it.

        Args:
            layer: Str. A layer path.
        """
        info = self.info(layer)
        within = info.get("within")
        if isinstance(within, dict) and isinstance(within.get("path"), str):
            return within["path"], within
        if not info:
            # Only layers with weights are listed, and it holds one.
            for inner in self.layers.values():
                within = inner.get("within")
                if isinstance(within, dict) and within.get("path") == layer:
                    return str(layer), within
        return str(layer), info

    def names(self, layers):
        """Return what the user calls these layers, a list of str.

        What is inside of a recurrent layer or a wrapper goes by the name of
        that one; where several layers are, by as much of its path as tells
        them apart.

        Args:
            layers: Iterable of layer paths.
        """
        outer = {path: self.of_user(path)[0] for path in self.layers}
        many = collections.Counter(outer.values())
        starts = {path: _starts(path) for path in outer}
        shared = collections.Counter(itertools.chain(*starts.values()))
        names = {}
        for path, around in outer.items():
            if path != around:
                apart = (start for start in starts[path] if shared[start] == 1)
                alone = many[around] == 1
                names[path] = around if alone else next(apart, path)
        return [names.get(str(layer), str(layer)) for layer in layers]

    def in_words(self, text):
        """Return a text with the names of layers for their paths."""
        paths = [*self.layers]
        for path, name in zip(paths, self.names(paths), strict=True):
            if path != name:
                whole = rf"(?<![\w/]){re.escape(path)}(?![\w/#])"
                text = re.sub(whole, name.replace("\\", r"\\"), text)
        return text

    def site(self, path):
        """Return what is known of an activation, a dict; {} if nothing is."""
        return self.sites.get(str(path), {})


def _starts(path):
    """Return a path and the folders it is in, the outermost first."""
    pieces = path.split("/")
    return ["/".join(pieces[: end + 1]) for end in range(len(pieces))]


def _read(kind, values):
    """Make a dataclass of what of a dict fits its annotations."""
    return kind(**_fitting(kind, values))


def _fitting(kind, values):
    """Return those entries of a dict that fit a dataclass, a dict."""
    values = values if isinstance(values, dict) else {}
    wanted = _hints(kind)
    return {
        name: values[name]
        for name in wanted
        if name in values
        and values[name] is not None
        and _is_a(values[name], wanted[name])
    }


_hints = functools.cache(typing.get_type_hints)


@functools.cache
def _accepted(wanted):
    """Return the classes of an annotation. What has others is read by hand."""
    union = isinstance(wanted, types.UnionType)
    parts = typing.get_args(wanted) if union else (wanted,)
    kinds = tuple(part for part in parts if isinstance(part, type))
    return (*kinds, int) if float in kinds else kinds


def _is_a(value, wanted):
    kinds = _accepted(wanted)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds)


def _dicts(values):
    """Return those entries of a dict that are dicts."""
    values = values if isinstance(values, dict) else {}
    return {k: v for k, v in values.items() if isinstance(v, dict)}


def _positive(value):
    return value is not None and 0 < value < float("inf")


def _is_cut(told):
    """Whether what a file says of own code has the form that it should."""
    lines = [told.get("lines"), told.get("unused")]
    names = told.get("names")
    return (
        isinstance(told.get("where"), str)
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and all(isinstance(one, list) for one in lines)
        and all(
            isinstance(line, list) and len(line) == 2
            for one in lines
            for line in one
        )
    )
