"""What to change in recurrent layers."""

import dataclasses

from keras_gradguard.diagnosis.evidence.recurrent import BOUNDED
from keras_gradguard.diagnosis.evidence.recurrent import PLAIN
from keras_gradguard.diagnosis.evidence.recurrent import recurrent_layers
from keras_gradguard.diagnosis.remedies import model


def for_recurrent(run, layers, why):
    """Return remedies for recurrent layers among some, [] without any.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The layers of the finding, culprits first.
        why: Str. What gates do for them.
    """
    known = recurrent_layers(run, layers)
    if not known:
        return []
    found = []
    plain = [
        path
        for path, info in known.items()
        if info["class"] in PLAIN and not info["wrapped"]
    ]
    tamed = {}
    for path, info in known.items():
        own: dict[str, str] = {}
        if info.get("activation") not in (None, "tanh"):
            own["activation"] = "tanh"
        if info.get("recurrent_activation") not in (None, *BOUNDED):
            own["recurrent_activation"] = "sigmoid"
        if path in plain or not own:
            continue
        if info["class"] in PLAIN:
            own["recurrent_initializer"] = "orthogonal"
        tamed[path] = own
    others = []
    if tamed:
        bent = any("activation" in changed for changed in tamed.values())
        title = f"Use tanh in {_named(tamed)}"
        if not bent:
            title = f"Use sigmoid for the gates of {_named(tamed)}"
        elif any("recurrent_activation" in one for one in tamed.values()):
            title += ", and sigmoid for the gates"
        bounded = (
            "Keras's default: it is bounded and of both signs, so the state "
            "neither grows nor drifts."
            if bent
            else "Keras's default: a gate lets through a share, so the state "
            "does not grow."
        )
        others.append(model.change_layers(title, bounded, tamed))
    for kind, because in (
        ("LSTM", why),
        (
            "SimpleRNN",
            "An orthogonal matrix keeps the length of what it multiplies, "
            "and tanh bounds the state.",
        ),
    ):
        if plain:
            # All at once: one that still grows is enough.
            found.append(
                _together([_all(plain, kind, because), *others], because)
            )
    return found if plain else others


def for_forgetting(run, layers, time_steps):
    """Return remedies for recurrent layers that the far past does not reach.

    Args:
        run: `RunInfo` of the run.
        layers: List of str. The layers of the finding, culprits first.
        time_steps: Int. How many the worst one runs over.
    """
    known = recurrent_layers(run, layers)
    plain = [
        path
        for path, info in known.items()
        if info["class"] in PLAIN and not info["wrapped"]
    ]
    found = []
    if plain:
        why = "Its gates let the gradient pass over many time steps."
        found.append(_all(plain, "LSTM", why))
    loose = [
        path
        for path in plain
        if "Orthogonal" not in str(known[path].get("recurrent_initializer"))
    ]
    if loose:
        why = "An orthogonal matrix keeps the length of what it multiplies."
        found.append(_all(loose, "SimpleRNN", why))
    found.append(
        model.words(
            f"Shorten the way: fewer than {time_steps} time steps",
            "Pool or stride over time before the recurrent layer, cut the "
            "sequences, or give it their end and not their padding (mask "
            "it). Attention reaches all steps at once.",
            "keras.layers.AveragePooling1D(4)  # before the recurrent layer",
        )
    )
    return found


def _all(paths, kind, why):
    """Return the change of all of some plain layers to one kind."""
    changed = _together(
        [model.recurrent(path, kind, why) for path in paths], why
    )
    return dataclasses.replace(
        changed, title=model.recurrent(_named(paths), kind, why).title
    )


def _together(changes, why):
    return changes[0] if len(changes) == 1 else model.several(changes, why)


def _named(paths):
    names = [str(path).rsplit("/", maxsplit=1)[-1] for path in paths]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
