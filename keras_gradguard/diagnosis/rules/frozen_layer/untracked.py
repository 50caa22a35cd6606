"""Layers that the model does not know, and does not train.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import still_short
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import UNTRACKED
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


def in_words(hidden):
    """Return in words which layers a model does not know.

    Args:
        hidden: List of dicts, as of `untracked_layers`.
    """
    many = len(hidden) > 1
    return (
        f"{names([layer['name'] for layer in hidden])}: the model calls "
        f"{'these layers' if many else 'this layer'} and does not know "
        f"{'them' if many else 'it'}. Keras finds layers that are attributes "
        "of a layer, and none in an object of another class or in a function. "
        f"So {'their' if many else 'its'} weights stay as they were drawn."
    )


def untracked(trace):
    """Judge whether layers that the model hides are why little is learnt."""
    hidden = trace.run.untracked
    if not hidden or not len(trace.steps):
        return None
    learning, start = Learning.of(trace), int(trace.steps[0])
    wait = of_plan(trace, *UNTRACKED["wait"])
    short = still_short(trace, UNTRACKED["fallen"], wait)
    seen = learning.steps[short].tolist()[:1]
    harmed = harmed_at(trace)
    seen += [] if harmed is None else [harmed]
    if not seen:
        return None
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=[],
        first_step=start,
        last_step=not_learnt_until(trace, min(seen)),
        evidence={
            "kind": "untracked",
            "hidden": [layer["name"] for layer in hidden],
            "threshold": 0,
            "window": {"first_step": start, "last_step": min(seen)},
        },
        message=in_words(hidden),
        remedies=[_known(trace.run, hidden)],
    )


def _known(run, hidden):
    paths = [layer["path"] for layer in hidden]
    title = "Make them attributes of the model"
    why = "Then Keras finds their weights, trains them and saves them."
    if not all(paths):
        code = (
            "# in the place of a function, a layer that holds its own layers:\n"
            "class Held(keras.layers.Layer):\n"
            "    def __init__(self, *parts, **kwargs):\n"
            "        super().__init__(**kwargs)\n"
            "        self.parts = list(parts)\n"
            "\n"
            "    def call(self, x):\n"
            "        for part in self.parts:\n"
            "            x = part(x)\n"
            "        return x"
        )
        return Remedy(title, why, code)
    return Remedy(
        title,
        why,
        "class Whole(keras.Model):  # or name them in your own `__init__`\n"
        "    def __init__(self, inner, parts):\n"
        "        super().__init__()\n"
        "        self.inner, self.parts = inner, parts\n"
        "\n"
        "    def call(self, *args, **kwargs):\n"
        "        return self.inner(*args, **kwargs)\n"
        "\n"
        "\n"
        f"parts = [{', '.join(paths)}]\n"
        "old, model = model, Whole(model, parts)\n"
        + compile_with(run)
        .replace("model.optimizer", "old.optimizer")
        .replace("model.loss", "old.loss"),
    )
