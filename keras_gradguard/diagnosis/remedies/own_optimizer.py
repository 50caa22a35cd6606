"""Code for an optimizer that no line makes: its class is the user's own."""

from keras_gradguard.diagnosis.remedies.expressions import CLIPS
from keras_gradguard.diagnosis.remedies.expressions import broken
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.diagnosis.remedies.expressions import is_call
from keras_gradguard.diagnosis.remedies.expressions import is_clipped

INNERMOST = (
    "inner = model.optimizer\n"
    'while hasattr(inner, "inner_optimizer"):\n'
    "    outer, inner = inner, inner.inner_optimizer\n"
)


def made_anew(changes):
    """Return code that makes `inner`: the innermost optimizer, made anew.

    Args:
        changes: Dict of arguments.
    """
    lines, entries = [], ["**inner.get_config()"]
    for key, value in changes.items():
        if is_call(value):
            lines.append(f"{broken(value, f'{key} = ')}\n")
            value = key
        else:
            value = expression(value)
        entries.append(f"{expression(key)}: {value}")
    return (
        f"{INNERMOST}{''.join(lines)}config = {{{', '.join(entries)}}}\n"
        "inner = type(inner).from_config(config)"
    )


def has_auto_clip(run):
    """Return whether `AutoClip` clips, also around an optimizer of one's own.

    Args:
        run: `RunInfo` of the run.
    """
    facts = run.optimizer
    if is_call(facts.call):
        return is_clipped(facts.call)
    return bool(facts.clipped) and not any(clips_of(run))


def clips_of(run):
    """Return the names of Keras's own clips that an optimizer has.

    Args:
        run: `RunInfo` of the run.
    """
    return [key for key in CLIPS if getattr(run.optimizer, key)]
