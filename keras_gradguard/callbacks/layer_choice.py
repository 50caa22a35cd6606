"""Which layers of a model a callback looks at."""

import dataclasses
import fnmatch
import warnings

import keras
import numpy as np

from keras_gradguard import _text
from keras_gradguard import _validation
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.models import keras_private
from keras_gradguard.models import layers as layers_lib

_WHAT = "None, or a list of names, patterns and layer classes"
_HINT = (
    'Pass for instance ["encoder", "dense_*", keras.layers.Conv2D], or '
    '["!Embedding"] for all but these.'
)


class LayerChoice:
    """An argument `layers`: which layers to look at.

    An entry fits a layer by its name, its path or the name of its class, with
    the patterns of `fnmatch`, or as its class; and all that is inside of a
    layer that it fits. A leading "!" excludes.

    Args:
        owner: Class of the callback.
        layers: What was passed.

    Raises:
        TypeError: If it is no such list.
        ValueError: If it is empty, or has an empty entry.
    """

    def __init__(self, owner, layers):
        self._owner = owner
        self.all = layers is None
        self._wanted, self._excluded = [], []
        for entry in _entries(owner, layers):
            if isinstance(entry, str) and entry.startswith("!"):
                self._excluded.append(entry[1:])
            else:
                self._wanted.append(entry)

    def takes(self, model):
        """Return the ids of the layers of a model that are chosen.

        Args:
            model: A Keras model.

        Returns:
            Set of int.
        """
        return {
            id(family[-1])
            for family in _families(model)
            if (not self._wanted or _fits_any(self._wanted, family))
            and not _fits_any(self._excluded, family)
        }

    def of_paths(self, model, by_path):
        """Leave the chosen layers in a dict by path.

        Args:
            model: A Keras model.
            by_path: Dict from layer path to anything.

        Returns:
            Dict.
        """
        if self.all:
            return by_path
        taken = self.takes(model)
        paths = {
            layers_lib.layer_path(layer)
            for *_, layer in _families(model)
            if id(layer) in taken
        }
        return {key: by_path[key] for key in by_path if key in paths}

    def check(self, model, weights=True):
        """Raise if an entry fits no layer, or no layer with weights is left.

        Only a warning where layers are still to be built.

        Args:
            model: The model that is about to train.
            weights: Bool. Whether a layer with weights must be left.

        Raises:
            ValueError: As said there.
        """
        if self.all:
            return
        families = _families(model)
        problem = None
        for entry in [*self._wanted, *self._excluded]:
            if not any(_fits(entry, family) for family in families):
                problem = f"{_shown(entry)}, which fits none"
                break
        taken = self.takes(model)
        left = [family[-1] for family in families]
        if weights:
            left = layers_lib.layer_table(model).layers
        if problem is None and not any(id(layer) in taken for layer in left):
            problem = (
                f"what leaves no layer{' with weights' if weights else ''}"
            )
        if problem is None:
            return
        names = [layer.name for *_, layer in families[1:]]
        message = (
            f"{self._owner}: `layers` must name layers of the model. Received: "
            f"{problem}. Its layers are {_text.names(names, 12)}."
        )
        if model.built and all(layer.built for *_, layer in families):
            raise ValueError(message)
        warnings.warn(
            f"{message} More may be there once it is built.",
            GradGuardWarning,
            stacklevel=5,
        )

    def table(self, model, table):
        """Leave the chosen layers in a table.

        Args:
            model: The model.
            table: Its `LayerTable`.

        Returns:
            A `LayerTable`.
        """
        if self.all:
            return table
        layers, columns = self._places(model, table)
        place = {int(old): new for new, old in enumerate(layers)}
        return dataclasses.replace(
            table,
            layers=[table.layers[i] for i in layers],
            layer_paths=[table.layer_paths[i] for i in layers],
            variables=[table.variables[i] for i in columns],
            variable_paths=[table.variable_paths[i] for i in columns],
            owners=np.array([place[table.owners[i]] for i in columns], int),
            sizes=table.sizes[columns],
            info={
                table.layer_paths[i]: table.info[table.layer_paths[i]]
                for i in layers
            },
        )

    def block(self, model, table, block):
        """Leave the chosen layers in a block of records.

        What the global norm became by clipping, and the threshold for it, are
        scaled to the norm of what is left.

        Args:
            model: The model.
            table: `LayerTable` of all of the block.
            block: `Block`.

        Returns:
            A `Block`.
        """
        if self.all:
            return block
        _, columns = self._places(model, table)
        whole, part = (
            np.sqrt(np.nansum(np.square(norms, dtype="float64"), axis=1))
            for norms in (block.grad_norm, block.grad_norm[:, columns])
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(whole > 0, part / whole, 1.0)
        return block.of_columns(columns, share)

    def measurement(self, model, measurement):
        """Leave the chosen layers in a measurement of activations.

        Args:
            model: The model.
            measurement: `Measurement`.

        Returns:
            A `Measurement`.
        """
        if self.all:
            return measurement
        taken = self.takes(model)
        at = [
            i
            for i, site in enumerate(measurement.sites)
            if id(site.layer) in taken
        ]
        return dataclasses.replace(
            measurement,
            sites=[measurement.sites[i] for i in at],
            activations=measurement.activations[at],
            active=[measurement.active[i] for i in at],
            magnitude=[measurement.magnitude[i] for i in at],
        )

    def time_gradients(self, model, measurement):
        """Leave the chosen layers in gradients through time.

        Args:
            model: The model.
            measurement: `TimeMeasurement`.

        Returns:
            A `TimeMeasurement`.
        """
        if self.all:
            return measurement
        taken = self.takes(model)
        at = [
            i
            for i, each in enumerate(measurement.found)
            if id(each.layer) in taken or id(each.cell) in taken
        ]
        return dataclasses.replace(
            measurement,
            found=[measurement.found[i] for i in at],
            lengths=measurement.lengths[at],
            norms=measurement.norms[at],
        )

    def counts(self, model, counts):
        """Leave the chosen layers in counts of active units.

        Args:
            model: The model.
            counts: `Counts`.

        Returns:
            Dict as of `Counts.by_path`.
        """
        found = counts.by_path()
        if self.all:
            return found
        taken = self.takes(model)
        chosen = {s.path for s in counts.sites if id(s.layer) in taken}
        return {path: found[path] for path in found if path in chosen}

    def histogram(self, model, table, histogram):
        """Leave the chosen layers in histograms of gradients.

        Args:
            model: The model.
            table: `LayerTable` of all of them.
            histogram: `GradientHistogram`.

        Returns:
            A `GradientHistogram`.
        """
        if self.all:
            return histogram
        _, columns = self._places(model, table)
        names = [field.name for field in dataclasses.fields(histogram)]
        return dataclasses.replace(
            histogram,
            **{
                name: np.asarray(getattr(histogram, name))[columns]
                for name in names
                if name != "step"
            },
        )

    def _places(self, model, table):
        """Indices of the chosen layers and of their variables in a table."""
        taken = self.takes(model)
        chosen = np.array([id(layer) in taken for layer in table.layers], bool)
        return np.flatnonzero(chosen), np.flatnonzero(chosen[table.owners])


def _entries(owner, layers):
    if layers is None:
        return []
    if isinstance(layers, str | type):
        layers = [layers]
    if not isinstance(layers, list | tuple | set | frozenset):
        _validation.fail(
            TypeError, owner, "layers", _WHAT, layers, _HINT, show_type=True
        )
    for entry in layers:
        is_class = isinstance(entry, type) and issubclass(entry, keras.Layer)
        if not isinstance(entry, str) and not is_class:
            _validation.fail(TypeError, owner, "layers", _WHAT, layers, _HINT)
        if isinstance(entry, str) and not entry.removeprefix("!"):
            what = f"{_WHAT}, none of them empty"
            _validation.fail(ValueError, owner, "layers", what, layers, _HINT)
    if not layers:
        what = f"{_WHAT}, at least one"
        _validation.fail(ValueError, owner, "layers", what, layers, _HINT)
    return list(layers)


def _families(model):
    """All layers of a model, each behind those that it is inside of.

    The model itself stands only for what it owns.
    """
    found, seen = [], set()

    def visit(layer, above):
        if id(layer) in seen:
            return
        seen.add(id(layer))
        found.append([*above, layer])
        for child in keras_private.children(layer):
            visit(child, [] if layer is model else [*above, layer])

    visit(model, [])
    return found


def _fits_any(entries, family):
    return any(_fits(entry, family) for entry in entries)


def _fits(entry, family):
    """Whether an entry fits a layer, or one that it is inside of."""
    if isinstance(entry, type):
        return any(isinstance(layer, entry) for layer in family)
    return any(
        fnmatch.fnmatchcase(name, entry)
        for layer in family
        for name in (
            layer.name,
            layers_lib.layer_path(layer),
            type(layer).__name__,
        )
    )


def _shown(entry):
    return entry.__name__ if isinstance(entry, type) else repr(entry)
