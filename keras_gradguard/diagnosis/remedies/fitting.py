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
    remedy before it: another learning rate, a clip where one is to be removed.

    Args:
        run: `RunInfo` of the run or the model.
        findings: List of `Finding`, with their causes.
    """
    seen = _Agreement(run)
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
    """Which way the remedies of one report go."""

    def __init__(self, run):
        self.rate = run.learning_rate
        self.side: str | None = None
        self.told: tuple | None = None
        self.unclips = False

    def takes(self, remedy):
        """Return whether a remedy goes along with those before it."""
        for action, arguments in edits_of(remedy):
            side = self._side(action, arguments)
            if side is not None and self.side not in (None, side):
                return False
            told = self._told(action, arguments)
            if told is not None and self.told not in (None, told):
                return False
            if action == "clip" and self.unclips:
                return False
        for action, arguments in edits_of(remedy):
            self.side = self.side or self._side(action, arguments)
            self.told = self.told or self._told(action, arguments)
            changed = arguments.get("arguments")
            if action == "change_optimizer" and isinstance(changed, dict):
                self.unclips |= any(key in CLIPS for key in changed)
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
