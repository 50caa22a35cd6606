"""Where numbers that are not finite came from, among a step's operations.

Pure: a list of operations with what they take, and what came out.
"""

import dataclasses

from keras_gradguard._backend.operations import BATCH
from keras_gradguard._backend.operations import CONSTANT
from keras_gradguard._backend.operations import OPERATION
from keras_gradguard._backend.operations import STATE

# What counts as larger than usual.
_TENFOLD = 10.0
# What torch, JAX and TensorFlow call a cast.
_CASTS = ("to", "convert_element_type", "cast")


@dataclasses.dataclass(slots=True, frozen=True)
class Origin:
    """Where it began.

    Attributes:
        at: Int, the operation that is to be named.
        source: `"batch"` or `"state"` where it took what was not finite
            already, else None.
        born: Int, the operation that made NaN of infinity later; `at` itself
            if that did.
        before: Float, in a spike what is the largest number with the batch
            before; else NaN.
    """

    at: int
    source: str | None
    born: int
    before: float = float("nan")


def find_origin(step):
    """Return the `Origin` of what is not finite in a step, or None.

    Numbers that nobody uses do not count, such as those that `where` leaves
    out. Infinity that is written into the code, as in a mask, is no fault:
    what makes NaN of it is. Infinity that was computed is one.

    Args:
        step: A `Step` that ran to its end.
    """
    found = step.operations
    targets = [at for at in step.loss if not found[at].is_finite]
    if not targets:
        targets = [at for at in step.gradients if not found[at].is_finite]
    if not targets:
        return None
    involved = _ancestors(found, targets)
    born = next((at for at in involved if _makes_nan(found, at)), None)
    if born is None:
        born = involved[0]
    roots = [
        at
        for at in _ancestors(found, [born])
        if not _nonfinite_inputs(found, at)
    ]
    computed = [at for at in roots if found[at].kind == OPERATION]
    given = [at for at in roots if found[at].kind in (BATCH, STATE)]
    if given:
        source = found[given[0]].kind
        user = _first_in_a_layer(found, involved)
        return Origin(user, source, user)
    if computed:
        return Origin(computed[0], None, born)
    return Origin(born, None, born)


def find_growth(step, usual):
    """Return the `Origin` of numbers ten times as large as usual.

    Args:
        step: A `Step`.
        usual: A `Step` of the same weights with another batch.
    """
    found = step.operations
    numbers: dict = {}
    for operation in usual.operations:
        numbers.setdefault(_key(operation), []).append(operation.largest)
    taken: dict = {}
    best = None
    for at, operation in enumerate(found):
        key = _key(operation)
        nth = taken[key] = taken.get(key, -1) + 1
        if operation.kind in (STATE, CONSTANT) or nth >= len(
            numbers.get(key, ())
        ):
            continue
        before = numbers[key][nth]
        if not (before > 0 and operation.largest > _TENFOLD * before):
            continue
        if operation.kind == BATCH:
            user = _first_in_a_layer(found, range(at, len(found)))
            return Origin(user, BATCH, user, before)
        if best is None:
            best = Origin(at, None, at, before)
    return best


def _first_in_a_layer(found, places):
    """The first operation that a layer asked for, else the first.

    A cast is none: what is computed of its result is.
    """
    of_layers = [at for at in places if found[at].label >= 0]
    at = of_layers[0] if of_layers else places[0]
    while found[at].name.lower() in _CASTS:
        users = [
            later
            for later in range(at + 1, len(found))
            if at in found[later].inputs and found[later].kind == OPERATION
        ]
        if not users:
            break
        at = users[0]
    return at


def _key(operation):
    return (
        operation.kind,
        operation.name,
        operation.label,
        operation.backward,
    )


def _nonfinite_inputs(found, at):
    return [i for i in found[at].inputs if not found[i].is_finite]


def _makes_nan(found, at):
    """Whether NaN comes out of what had none."""
    nans = [i for i in found[at].inputs if found[i].nans]
    return bool(found[at].nans) and not nans


def _ancestors(found, targets):
    """Positions of all that is not finite and that targets come from."""
    known, todo = set(), list(targets)
    while todo:
        at = todo.pop()
        if at not in known:
            known.add(at)
            todo += _nonfinite_inputs(found, at)
    return sorted(known)
