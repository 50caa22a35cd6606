"""How many rows a table needs for all that it looks up."""

from keras_gradguard.diagnosis.remedies.code import name_of
from keras_gradguard.diagnosis.remedies.expressions import Raw
from keras_gradguard.diagnosis.remedies.expressions import expression


def all_rows(run, layers):
    """Return changes whose tables have a row for all that `x` holds.

    One batch told its largest index; others may hold larger ones.

    Args:
        run: `RunInfo` of the run or the model.
        layers: Dict from layer path to a dict of arguments.

    Returns:
        Lines of code that go before, and the changes.
    """
    lines: list[str] = []
    made, seen = {}, "x"
    for path, how in layers.items():
        rows = how.get("input_dim")
        if rows is not None and (run.several_inputs or run.batches):
            name = name_of(path)
            own = run.model_kind == "subclassed"
            if own or path not in (name, f"{run.model}/{name}"):
                rows = None
            else:
                # What this table alone looks up.
                seen = f"at_{len(lines)}" if lines else "at"
                table = f"model.get_layer({expression(name)}).input"
                lines.append(
                    f"{seen} = keras.Model(model.inputs, {table})\n"
                    f"{seen} = {seen}.predict(x, verbose=0)"
                )
        made[path] = how
        if rows is not None:
            largest = Raw(f"max({rows}, int(np.max({seen})) + 1)")
            made[path] = {**how, "input_dim": largest}
    return lines, made
