"""Which layer of one run is which layer of another."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A layer that both runs have.

    Attributes:
        name: Its path in the first run.
        a: Its column in the first trace.
        b: Its column in the second one.
    """

    name: str
    a: int
    b: int


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """The layers of two runs.

    Attributes:
        both: List of `Pair`, in forward order of the first run.
        only_a: List of str, paths that only the first run has.
        only_b: List of str, paths that only the second run has.
        matched_by: Str. `"path"`, `"name"` (without the model's) or `"order"`.
    """

    both: list
    only_a: list
    only_b: list
    matched_by: str


def pairs_of(a, b):
    """Match the layers of two traces.

    Args:
        a: `Trace`.
        b: `Trace`.

    Returns:
        `Pairs`.
    """
    best = _by_keys(a, b, _paths(a), _paths(b), "path")
    short = _by_keys(a, b, _without_model(a), _without_model(b), "name")
    if len(short.both) > len(best.both):
        best = short
    if len(best.both) < len(a.layers) and _same_kinds(a, b):
        # Keras numbers the layers of a process on: dense_4 was dense.
        places = range(len(a.layers))
        best = _by_keys(a, b, places, places, "order")
    return best


def _by_keys(a, b, keys_a, keys_b, matched_by):
    column = {key: at for at, key in enumerate(keys_b)}
    both = [
        Pair(str(a.layers[at]), at, column[key])
        for at, key in enumerate(keys_a)
        if key in column
    ]
    taken_a, taken_b = {p.a for p in both}, {p.b for p in both}
    return Pairs(
        both,
        [str(p) for at, p in enumerate(a.layers) if at not in taken_a],
        [str(p) for at, p in enumerate(b.layers) if at not in taken_b],
        matched_by,
    )


def _paths(trace):
    return [str(path) for path in trace.layers]


def _without_model(trace):
    """Paths without their first piece, where all of them share it."""
    paths = _paths(trace)
    first = {path.split("/")[0] for path in paths if "/" in path}
    if len(first) != 1 or not all("/" in path for path in paths):
        return paths
    return [path.split("/", maxsplit=1)[1] for path in paths]


def _same_kinds(a, b):
    """Whether both have the same classes and shapes in the same order."""
    kinds = [
        [
            (trace.class_of(layer), str(trace.info(layer).get("shapes")))
            for layer in _paths(trace)
        ]
        for trace in (a, b)
    ]
    known = all(name for name, _ in kinds[0])
    return bool(kinds[0]) and known and kinds[0] == kinds[1]
