"""Leaves remedies out that do not fit a run, or each other; writes the rest."""

import dataclasses

from keras_gradguard.diagnosis.remedies.expressions import CLIPS
from keras_gradguard.diagnosis.remedies.own_optimizer import has_auto_clip
from keras_gradguard.diagnosis.remedies.paste import written
from keras_gradguard.findings.causes import ranked
from keras_gradguard.findings.remedy import edits_of


def fitted(run, findings):
    """Return findings whose remedies can be pasted and agree.

    They leave out what the model has already (a second normalization), what it
    has no place for (hidden layers in a model without), and what undoes a
    remedy before it: another learning rate, a clip where one is to be removed,
    another scale for what a layer scaled that is to go.

    Args:
        run: `RunInfo` of the run or the model.
        findings: List of `Finding`, with their causes.
    """
    told = [r for finding in ranked(findings) for r in finding.remedies]
    seen = _Agreement(run, told)
    remedies = {}
    for finding in ranked(findings):
        kept = [r for r in finding.remedies if _fits(run, r) and seen.takes(r)]
        remedies[id(finding)] = [written(run, r, finding.layers) for r in kept]
    return [
        dataclasses.replace(f, remedies=remedies[id(f)])
        if id(f) in remedies
        else f
        for f in findings
    ]


def _fits(run, remedy):
    for action, arguments in edits_of(remedy):
        if action == "clip" and has_auto_clip(run):
            return False
        if action != "convert":
            continue
        if arguments.get("normalization") and _normalized(run):
            return False
        if not _has_hidden(run):
            return False
    return True


def _normalized(run):
    return any(info.get("normalization") for info in run.layers.values())


def _has_hidden(run):
    """Whether a layer but those of the outputs has a kernel, or may have."""
    ends = {output.layer for output in run.outputs}
    if not run.layers or "" in ends or not ends:
        return True
    for path, info in run.layers.items():
        shapes = info.get("shapes")
        shapes = shapes.values() if isinstance(shapes, dict) else ()
        if path not in ends and any(len(shape) > 1 for shape in shapes):
            return True
    return False


class _Agreement:
    """Which way the remedies of one report go.

    Args:
        run: `RunInfo` of the run or the model.
        remedies: List of `Remedy`. All that are to be told.
    """

    def __init__(self, run, remedies):
        self.rate = run.learning_rate
        self.side: str | None = None
        self.told: tuple | None = None
        edits = [edit for remedy in remedies for edit in edits_of(remedy)]
        # What is to go is the cause, so it goes, wherever it is told.
        self.unclips = any(_unclips(*edit) for edit in edits)
        self.unscales = any(_unscales(run, *edit) for edit in edits)

    def takes(self, remedy):
        """Return whether a remedy goes along with those before it."""
        sides, tells = {self.side} - {None}, {self.told} - {None}
        for action, arguments in edits_of(remedy):
            sides |= {self._side(action, arguments)} - {None}
            tells |= {self._told(action, arguments)} - {None}
            if action == "clip" and self.unclips:
                return False
            if action == "rescale_inputs" and self.unscales:
                return False
        if len(sides) > 1 or len(tells) > 1:
            return False
        self.side, self.told = next(iter(sides), None), next(iter(tells), None)
        return True

    @staticmethod
    def _told(action, arguments):
        """Return the learning rate of a change: one report names one alone."""
        if action == "warm_up":
            return None, arguments.get("to")
        if action != "set_learning_rate":
            return None
        return arguments.get("factor"), arguments.get("value")

    def _side(self, action, arguments):
        if action == "warm_up":
            return "up"
        if action != "set_learning_rate":
            return None
        factor, value = arguments.get("factor"), arguments.get("value")
        if factor is None and value and self.rate:
            factor = value / self.rate
        if not factor or factor == 1:
            return None
        return "up" if factor > 1 else "down"


def _unclips(action, arguments):
    """Whether an edit takes a clip of Keras's own away."""
    changed = arguments.get("arguments")
    known = action == "change_optimizer" and isinstance(changed, dict)
    return known and any(key in CLIPS for key in changed)


def _unscales(run, action, arguments):
    """Whether an edit takes a layer away that only rescales."""
    if action != "remove_layers":
        return False
    own = run.rescaling or ()
    return any(layer in own for layer in arguments.get("layers") or ())
