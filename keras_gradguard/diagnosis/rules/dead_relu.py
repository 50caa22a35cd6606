"""Finds layers whose units give zero whatever comes in."""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import hidden_sites
from keras_gradguard.diagnosis.evidence.activations import large_biases
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.batch import batch_size
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import stretch_end
from keras_gradguard.diagnosis.evidence.stretches import stretch_start
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.offsets import start_at_zero
from keras_gradguard.diagnosis.remedies.recurrent import for_recurrent
from keras_gradguard.diagnosis.remedies.training import lower_rate
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

_ALL = {"share": 0.999, "measured": 3, "span": 3, "layers": 1}
_MOST = {"measured": 4, "span": 20, "layers": 2}
_ONE = {"measured": 4, "span": 500, "layers": 1}
# So many samples must have passed before a unit counts as dead: a batch of one
# leaves most units of a healthy layer at zero.
_SAMPLES = 64
# Units that die in the first steps were about to when the run began.
_START = 4
# A batch so large shows by itself which units are active.
_LARGE_BATCH = 32


# Before the first step: rows that tell something of units, and the share of a
# layer's units, of so many at least, that is silent on all of them.
_FEWEST_ROWS = 16
_MOSTLY_DEAD, _FEWEST_UNITS = 0.9, 16
_RELU = ("relu", "relu6")


class DeadReLU(Rule):
    """Finds layers whose units are zero for every sample.

    Such a unit gets no gradient, and nothing moves it. In healthy ReLU nets a
    fifth to three fifths of the units of a narrow layer are never active, so
    a share alone is no sickness:

    * a hidden layer is dead as a whole in 3 measurements in a row: critical,
      since no signal passes it; a warning where the run learns all the same,
      past it;
    * at least 70 % of the units of two are, in 4 measurements over 20 steps,
      while the loss stalls, hardly fell since the start and the outputs do not
      follow the targets: warning. Of one layer alone, over 500 steps: narrow
      nets learn late with a layer like that, but they learn.

    A unit counts as dead if it was zero on a batch of 32 samples or more, or
    in all of the latest eight measured batches, of 64 samples at least. What
    dies within the first four steps of a run counts from its first step.

    References:
        - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER),
          whose threshold the 70 % are.
        - [Lu et al., Dying ReLU and Initialization, 2019](https://arxiv.org/abs/1903.06733)
    """

    id = "dead_relu"
    # Of the units of a layer, where it is not all of them.
    thresholds = {"share": 0.7}  # noqa: RUF012
    effects = (
        "saturated_activation",
        "vanishing_gradient",
        "update_ratio",
        "frozen_layer",
        "slow_convergence",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        learning = Learning.of(trace)
        sites = hidden_sites(trace, "can_die")
        if not len(learning) or not len(sites):
            return []
        count = len(learning)
        zero = trace.activation("dead_fraction")[:count, sites]
        dead = np.where(_seen_enough(trace, count)[:, None], zero, np.nan)
        # Sooner known than over eight batches; of whole layers, of fewer rows.
        now = trace.activation("inactive_fraction")[:count, sites]
        rows = batch_size(trace)
        gone = np.fmax(dead, now) if rows >= _FEWEST_ROWS else dead
        if rows >= _LARGE_BATCH:
            dead = gone
        steps = learning.steps
        with np.errstate(invalid="ignore"):
            whole = _first(steps, gone >= _ALL["share"], _ALL)
            high, idle = dead >= self.limit("share"), learning.idle()
            most = [_first(steps, high, level, idle) for level in (_MOST, _ONE)]
        hits = [hit for hit in (whole, *most) if hit is not None]
        if not hits:
            return []
        # What was complete first is reported.
        last, limit = min(hits, key=lambda hit: hit[0])
        if limit is _ALL:
            dead = gone
        else:
            limit = {"share": self.limit("share"), **limit}
        # What was zero before enough had been seen was dead even then.
        since = np.fmax(dead, zero)
        return [_finding(trace, learning, dead, since, sites, last, limit)]

    def check_start(self, start):
        """Find ReLU layers that give zeros for all rows.

        A unit that is silent on a batch may wake; a layer without one active
        unit passes nothing on, neither signal nor gradient.
        """
        if start.tells("exploding_gradient"):
            return []
        silent = silent_layers(start)
        dead = [path for path, (share, _) in silent.items() if share == 1.0]
        layers = dead or list(silent)
        if not layers:
            return []
        rows = silent[layers[0]][1]
        if dead:
            text = (
                f"{names(dead)}: all ReLU units give 0 for "
                f"{of_samples(rows)}. That is before any training. No signal "
                "passes, and no gradient comes back."
            )
        else:
            share = number(100 * silent[layers[0]][0])
            text = (
                f"{names(layers)}: {share} % of the units give 0 for "
                f"{of_samples(rows)}. That is before any training. They get "
                "no gradient."
            )
        layers = _with_weights(start, layers)
        return [
            self.at_start(
                "critical" if dead else "warning",
                layers,
                {
                    "kind": "dead_at_start",
                    "dead_fraction": {
                        path: share for path, (share, _) in silent.items()
                    },
                    "samples": rows,
                    "threshold": 1.0 if dead else _MOSTLY_DEAD,
                },
                text,
                for_dead(start.run, layers, alive=False),
            )
        ]


def _with_weights(start, layers):
    """Return the layers with weights that feed some, as `layers_of` does."""
    known = {at for at, info in start.run.layers.items() if info.get("shapes")}
    inside = {
        info["within"].get("path"): path
        for path, info in start.run.layers.items()
        if isinstance(info.get("within"), dict)
    }
    feeding, last = {}, None
    for layer in start.layers:
        last = inside.get(
            layer.path, layer.path if layer.path in known else last
        )
        feeding[layer.path] = last
    found = [feeding.get(path) or path for path in layers]
    return list(dict.fromkeys(found))


def of_samples(rows):
    """Return a number of samples in words."""
    return "the one sample" if rows == 1 else f"all of {rows:,} samples"


def silent_layers(start):
    """Return the ReLU layers of which nearly no unit is active at the start.

    Where nothing but 0 comes in, what is in front is at fault.

    Args:
        start: `Start`.

    Returns:
        Dict from layer path to the share of silent units and the rows.
    """
    found = {}
    for layer in start.layers:
        values = layer.output
        if layer.activation not in _RELU or values.ndim < 2 or layer.starved:
            continue
        if len(values) < _FEWEST_ROWS:
            continue
        other = tuple(at for at in range(values.ndim) if at != layer.channels)
        silent = (values <= 0).all(axis=other)
        share = float(silent.mean())
        many = len(silent) >= _FEWEST_UNITS and share >= _MOSTLY_DEAD
        if share == 1.0 or many:
            found[layer.path] = share, len(values)
    return found


def _first(steps, high, level, where=None):
    """Return the measurement that completes the first stretch, and `level`."""
    window = level["measured"]
    full = count_within(high, window) == window
    if where is not None:
        full &= where[:, None]
    for last in np.flatnonzero(full.any(axis=1)):
        starts = [
            stretch_start(high[:, site], int(last), window)
            for site in np.flatnonzero(full[last])
        ]
        long = steps[last] - steps[starts] >= level["span"]
        if np.count_nonzero(long) >= level["layers"]:
            return int(last), level
    return None


def _seen_enough(trace, count):
    """Return (K,): whether enough samples were seen to call a unit dead."""
    measured = np.minimum(np.arange(1, count + 1), 8)
    return measured >= min(8, -(-_SAMPLES // (batch_size(trace) or 8)))


def _finding(trace, learning, dead, since, sites, last, level):
    with np.errstate(invalid="ignore"):
        high = dead >= level["share"]
        long = since >= level["share"]
    window = level["measured"]
    full = high[max(0, last - window + 1) : last + 1].all(axis=0)
    guilty = np.flatnonzero(full)
    starts = [stretch_start(long[:, at], last, window) for at in guilty]
    steps = learning.steps
    start = min(starts)
    end = max(stretch_end(high[:, at], last) for at in guilty)
    layers = layers_of(trace, trace.sites[np.asarray(sites)[guilty]])
    whole = level is _ALL
    learns = bool(learning.good[last])
    first, stop = int(steps[start]), int(steps[last])
    begin = int(steps[0]) if first - steps[0] <= _START else first
    share = float(dead[last, guilty].max())
    named = [str(trace.sites[sites[at]]) for at in guilty]
    # Measured before the first step moved a weight: they died of the steps.
    at_first = _zero_at_first(trace)[sites][guilty]
    alive = bool((at_first < level["share"]).all())
    seen = bool(np.isfinite(at_first).all())
    if whole:
        many = "its units" if len(guilty) == 1 else "their units"
        text = (
            f"{names(named)}: all of {many} give 0 for every sample. That was "
            f"measured from step {first} to {stop}. No signal passes, and no "
            "gradient comes back."
        )
    else:
        text = (
            f"{names(named)}: {number(100 * share)} % of the units give 0 for "
            f"every sample. That was measured from step {first} to {stop}, and "
            "the loss does not fall. Such units get no gradient and will not "
            "recover."
        )
    return in_a_run(
        trace,
        rule=DeadReLU.id,
        severity="critical" if whole and not learns else "warning",
        layers=layers,
        first_step=begin,
        last_step=int(steps[end]),
        evidence={
            "dead_fraction": {
                str(name): float(dead[last, at])
                for name, at in zip(named, guilty, strict=True)
            },
            "alive_at_start": alive,
            "threshold": level["share"],
            "window": {"first_step": first, "last_step": stop},
        },
        message=text,
        remedies=for_dead(
            trace.run, layers, large_biases(trace), alive if seen else None
        ),
    )


def _zero_at_first(trace):
    """Return (sites,): shares of units silent before the first update.

    NaN where that was not measured.

    Args:
        trace: `Trace`.
    """
    at = trace.activation_steps[:1]
    if not len(at) or not len(trace.steps) or at[0] or trace.steps[0]:
        return np.full(len(trace.sites), np.nan)
    now = trace.activation("inactive_fraction")[0]
    return np.fmax(now, trace.activation("dead_fraction")[0])


def for_dead(run, layers, large=(), alive=None):
    """Return remedies for ReLU layers whose units give 0 for all samples.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Their paths.
        large: Paths of layers whose biases started large.
        alive: Bool or None. Whether they were alive before the first step:
            what no step has killed no smaller step revives, and what steps
            killed needs both. None where nobody saw it.
    """
    offsets = start_at_zero(run, layers, large)
    slower = lower_rate(run, 10, "Large steps push units below 0 for good.")
    again = changes.reinitialize(
        layers,
        "Which units are dead is a matter of the draw, in narrow layers "
        "above all.",
    )
    # All of them: what killed these has thrown the others far off, too.
    both = changes.several(
        [slower, changes.reinitialize([], "")],
        "Large steps push units below 0 for good. Smaller ones do not, but "
        "they revive none, so the weights start anew.",
    )
    return [
        *offsets,
        *([both] if alive else []),
        *for_recurrent(
            run, layers, "Its units are bounded, and none of them can die."
        ),
        changes.convert(
            "he_leaky_relu",
            "A leaky ReLU passes a part of what is negative on, so no unit is "
            "without a gradient.",
        ),
        changes.convert(
            "he_relu",
            "Normalization centres what goes into a ReLU, so about half of "
            "its units are active on any batch.",
            normalization="batch",
        ),
        # Another draw leaves biases that outweigh all as far off as they were.
        *([] if offsets else [again]),
        *([both] if alive is None and not offsets else []),
    ]
