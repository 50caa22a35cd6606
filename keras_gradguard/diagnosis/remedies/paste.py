"""Writes the edits that remedies name down as code, for one run."""

import dataclasses
from typing import Any

from keras_gradguard.diagnosis.remedies import code
from keras_gradguard.diagnosis.remedies import data
from keras_gradguard.diagnosis.remedies import pairing as pairings
from keras_gradguard.diagnosis.remedies.expressions import Raw
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.expressions import clipped_with
from keras_gradguard.diagnosis.remedies.expressions import complete
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.diagnosis.remedies.expressions import is_call
from keras_gradguard.diagnosis.remedies.expressions import leaf_of
from keras_gradguard.diagnosis.remedies.expressions import of_leaf
from keras_gradguard.diagnosis.remedies.expressions import with_changes
from keras_gradguard.diagnosis.remedies.expressions import without
from keras_gradguard.diagnosis.remedies.own_optimizer import INNERMOST
from keras_gradguard.diagnosis.remedies.own_optimizer import clips_of
from keras_gradguard.diagnosis.remedies.own_optimizer import has_auto_clip
from keras_gradguard.diagnosis.remedies.own_optimizer import made_anew
from keras_gradguard.diagnosis.remedies.tables import all_rows
from keras_gradguard.findings.edit_defaults import RECURRENT_KEPT
from keras_gradguard.findings.edit_defaults import SCHEDULE_STEPS

_DATA = "# the same for validation data and predictions"


def written(run, remedy, layers=()):
    """Return a remedy with the code that does what its edit does.

    Args:
        run: `RunInfo` of the run or the model.
        remedy: `Remedy`. Without an edit it keeps its code.
        layers: List of str. The layers of its finding.
    """
    text = remedy.code
    if remedy.action is not None:
        draft = _Draft(run, layers)
        try:
            draft.add(remedy.action, remedy.arguments)
            text = draft.text()
        except (AttributeError, KeyError, TypeError, ValueError):
            # An edit of another version, or a file that somebody wrote.
            return remedy
    text = data.of_one_output(run, data.of_each(run, text), layers)
    return dataclasses.replace(remedy, code=complete(text))


class _Draft:
    """Collects changes, so that several end in one line that compiles."""

    def __init__(self, run, layers):
        self.run, self.layers = run, layers
        self.lines: list[str] = []
        self.optimizer: Any = code.optimizer_of(run)
        # Arguments of an optimizer whose class is the user's own.
        own = self.optimizer is None and run.optimizer.name is not None
        self.own: dict[str, Any] | None = {} if own else None
        self.loss: Any = None
        self.rate: str | None = None
        self.factor: str | None = None
        self.new_optimizer = False
        self.around: tuple[list, dict] | None = None

    def add(self, action, arguments):
        getattr(self, f"_{action}")(**arguments)

    def text(self):
        lines = list(self.lines)
        if self.new_optimizer or self.around:
            told = self.optimizer
            if self.rate is not None and self.factor is not None:
                # What is made anew begins at the rate of before.
                rate = {"learning_rate": Raw(self.factor)}
                if self.own is not None:
                    self.own = {**rate, **self.own}
                elif told is None:
                    lines.append(self.rate)
                else:
                    told = with_changes(told, rate)
            if self.own is not None:
                lines += self._of_own_class()
                told = Raw("inner")
            if self.around:
                told = self._clipped(told)
            elif self.own is not None and has_auto_clip(self.run):
                told = call("kgg.AutoClip", told, Raw("outer.clipper"))
            lines.append(code.compile_with(self.run, told, self.loss))
        else:
            if isinstance(self.loss, str):
                lines.append(code.use_loss(self.run, self.loss))
            elif self.loss is not None:
                lines.append(code.compile_with(self.run, None, self.loss))
            if self.rate is not None:
                lines.append(self.rate)
        return "\n".join(lines)

    def _clipped(self, told):
        """Return the optimizer in `AutoClip`, which goes inside of others."""
        leading, more = self.around or ([], {})
        if told is None or isinstance(told, Raw):
            leaf = told or Raw("model.optimizer")
            return call("kgg.AutoClip", leaf, *leading, **more)
        return clipped_with(told, *leading, **more)

    def _of_own_class(self):
        """Return the lines that make `inner`, the optimizer under others."""
        changes = dict(self.own or {})
        if self.around:
            changes |= dict.fromkeys(clips_of(self.run))
        return [made_anew(changes) if changes else INNERMOST.rstrip()]

    def _several(self, changes):
        for change in changes:
            self.add(change["action"], change["arguments"])

    # The ends of the model

    def _change_output(
        self, layer, units=None, activation=None, loss=None, from_logits=None
    ):
        run = self.run
        output = next((o for o in run.outputs if o.layer == layer), None)
        info = run.of_user(layer)[1]
        told = info.get("call")
        changes: dict[str, Any] = {}
        if units is not None:
            units = self._classes_of(units, loss)
            made = told["arguments"] if is_call(told) else info
            changes["filters" if "filters" in made else "units"] = units
        apart = "" if output is None else output.activation_layer
        if activation is not None and not apart:
            changes["activation"] = activation
        if changes and not layer:
            told = [f"{k}={expression(v)}" for k, v in changes.items()]
            self.lines.append(f"# in the output layer: {', '.join(told)}")
        elif changes:
            self.lines.append(code.change_layers(run, {layer: changes}))
        if activation is not None and apart:
            name = code.name_of(apart)
            made = call("keras.layers.Activation", activation, name=name)
            self.lines.append(code.put_layers(run, {apart: made}))
        if loss is not None:
            self._use_loss(layer, loss, from_logits)

    def _classes_of(self, units, loss):
        """Return the units for all classes in `y`; a batch may lack some."""
        run = self.run
        told = loss or (run.output.loss_name if run.output else None)
        plain = len(run.outputs) == 1 and not run.batches
        if units < 2 or told != "sparse_categorical_crossentropy" or not plain:
            return units
        return Raw(f"max({units}, int(np.max(y)) + 1)")

    def _use_loss(self, layer, loss, from_logits):
        told: Any = code.loss_of(loss, from_logits)
        before = self.run.compiled.get("loss")
        if isinstance(before, dict) and isinstance(before.get("entries"), dict):
            entries = {**before["entries"], code.name_of(layer): told}
            told = {"entries": entries}
        self.loss = told

    def _scale_targets(self, mean, std):
        del mean, std  # each column has its own
        run = self.run
        if run.batches:
            told, power = data.scale_targets(run)
            self.lines.append(told)
            compiled = {**run.compiled, "loss_weights": Raw(f"[{power}]")}
            self.run = dataclasses.replace(run, compiled=compiled)
            return
        self.lines.append(
            "mean, std = y.mean(axis=0), y.std(axis=0) + 1e-7\n"
            "y = (y - mean) / std  # predictions: model.predict(x) * std + mean"
        )

    def _normalize_inputs(self, mean=None, std=None):
        del mean, std
        if self.run.batches:
            self.lines.append(data.normalize_inputs(self.run))
            return
        if self.run.several_inputs:
            line = f"x = keras.tree.map_structure(unit_scale, x)  {_DATA}"
            self.lines.append(data.UNIT_SCALE + line)
            return
        self.lines.append(
            "mean, std = x.mean(axis=0), x.std(axis=0) + 1e-7\n"
            f"x = (x - mean) / std  {_DATA}"
        )

    def _rescale_inputs(self, scale):
        if self.run.batches:
            self.lines.append(data.rescale_inputs(self.run, scale))
            return
        one = 1 / scale if scale else 0.0
        whole = 0.999 < scale * round(one or 1) < 1.001
        told = f"x / {round(one)}" if whole else f"{scale:.6g} * x"
        if self.run.several_inputs:
            told = f"keras.tree.map_structure(lambda x: {told}, x)"
        elif scale > 1:
            # Beside a wrong entry that is huge all others are tiny.
            self.lines.append(
                "most = 10 * np.percentile(np.abs(x[x != 0]), 95)"
            )
            told = f"{scale:.6g} * np.clip(x, -most, most)"
        self.lines.append(f"x = {told}  {_DATA}")

    # Layers

    def _convert(self, pairing, normalization=None, residual=False):
        line = pairings.convert(
            self.run, pairing, self.layers, normalization, residual
        )
        self.lines.append(line)

    def _change_layers(self, layers):
        lines, layers = all_rows(self.run, layers)
        self.lines += [*lines, code.change_layers(self.run, layers)]

    def _remove_layers(self, layers):
        made = {
            path: call("keras.layers.Identity", name=code.name_of(path))
            for path in layers
        }
        self.lines.append(code.put_layers(self.run, made))

    def _change_recurrent(self, layer, kind):
        path, info = self.run.of_user(layer)
        told = info.get("call")
        if not is_call(told):
            units = info.get("units", 32)
            told = call("", units=units, name=code.name_of(path))
        keeps = (*RECURRENT_KEPT, "name")
        kept = {k: v for k, v in told["arguments"].items() if k in keeps}
        made = call(f"keras.layers.{kind}", **kept)
        if kind == "SimpleRNN":
            how = {"activation": "tanh", "recurrent_initializer": "orthogonal"}
            made = with_changes(made, how)
        self.lines.append(code.put_layers(self.run, {path: made}))

    def _reinitialize(self, layers=()):
        self.lines.append(
            code.draw_anew(self.run, layers, "HeNormal", offsets=True)
        )

    # The optimizer

    def _set_learning_rate(self, value=None, factor=None):
        told = self.optimizer
        if value is None:
            now = f"{factor:.2g} * float(model.optimizer.learning_rate)"
            rate = told and leaf_of(told)["arguments"].get("learning_rate")
            if is_call(rate) or isinstance(rate, Raw) or self._scheduled():
                # No rate can be set where a schedule has it.
                self._of_optimizer(learning_rate=Raw(now))
            else:
                self.rate = f"model.optimizer.learning_rate = {now}"
                self.factor = now
            return
        present = None
        if told is not None:
            present = leaf_of(told)["arguments"].get("learning_rate")
            self.optimizer = with_changes(told, {"learning_rate": value})
        self.run = dataclasses.replace(self.run, learning_rate=value)
        if isinstance(present, dict | Raw) or self._scheduled():
            self._of_optimizer(learning_rate=value)
        else:
            self.rate = f"model.optimizer.learning_rate = {value:.2g}"

    def _scheduled(self):
        return bool(self.run.optimizer.schedule)

    def _schedule(self, steps=SCHEDULE_STEPS, rate=None):
        rate = rate or self.run.learning_rate or 1e-3
        falling = call(
            "keras.optimizers.schedules.CosineDecay",
            rate,
            decay_steps=steps,
            alpha=0.01,
        )
        self._of_optimizer(learning_rate=falling)

    def _warm_up(self, rate, to, steps):
        rising = call(
            "keras.optimizers.schedules.CosineDecay",
            rate,
            decay_steps=steps,
            alpha=1.0,
            warmup_target=to,
            warmup_steps=steps,
        )
        self._of_optimizer(learning_rate=rising)

    def _accumulate(self, batches):
        self._of_optimizer(gradient_accumulation_steps=batches)

    def _change_optimizer(self, arguments):
        self._of_optimizer(**arguments)

    def _set_optimizer(self, name, learning_rate):
        made = call(f"keras.optimizers.{name}", learning_rate=learning_rate)
        told = self.optimizer
        if told is not None:
            made = of_leaf(told, lambda leaf: made)
        elif has_auto_clip(self.run):
            made = call("kgg.AutoClip", made)
        self.own = None
        self.optimizer = made
        self.new_optimizer = True

    def _clip(self, clipper="norm", **arguments):
        self.around = [clipper], arguments

    def _of_optimizer(self, **arguments):
        self.new_optimizer = True
        if self.own is not None:
            self.own |= arguments
            return
        told = self.optimizer or call("keras.optimizers.Adam")
        gone = [key for key, value in arguments.items() if value is None]
        kept = {k: v for k, v in arguments.items() if v is not None}
        self.optimizer = with_changes(without(told, *gone), kept)
