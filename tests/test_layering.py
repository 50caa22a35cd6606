"""Who may import whom: the way of the data has no loops."""

import ast
import pathlib

import pytest

# Judges no backend: once is enough.
pytestmark = pytest.mark.slow

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_gradguard"
MODULES = sorted(PACKAGE.rglob("*.py"))
FREE = {"version", "exceptions", "_optional", "_validation", "_text", "_series"}
FREE |= {"_histogram"}
STORE = {"trace", "_blocks", "_columns", "_layer_norms", "_trace_file"}
STORE |= {"_trace_tables", "_trace_variables", "_trace_records"}
STORE |= {"_trace_weights", "_trace_activations", "_trace_epochs"}
JUDGES = FREE | STORE | {"diagnosis"}
# Layer: what of ours it may import besides itself.
MAY_IMPORT = {
    **dict.fromkeys(FREE, FREE),
    **dict.fromkeys(STORE, FREE | STORE),
    "stats": FREE,
    "_backend": FREE | {"stats"},
    "recording": FREE | {"stats", "_backend"},
    "clippers": FREE | {"stats", "_backend"},
    "diagnosis": FREE | STORE,
    # Only what a finding is, see below.
    "reporting": FREE | STORE | {"diagnosis"},
    "tensorboard_plugin": FREE | STORE | {"reporting"},
}
# A report writes itself: it asks the reporters when it is asked.
LATE = {("diagnosis", "reporting")}
BACKENDS = {"tensorflow", "jax", "torch"}
TOP = {
    "__init__",
    "__main__",
    "callbacks",
    "commands",
    "demo",
    "layers",
    "optimizers",
    "presets",
}
WITHOUT_KERAS = FREE | STORE | {"reporting", "tensorboard_plugin", "diagnosis"}
# These act on models.
ACT_ON_MODELS = {
    "actions",
    "heal",
    "healer",
    "preflight",
    "skill",
    "trials",
}
ACTING_MAY_IMPORT = TOP - {"__init__", "__main__", "commands", "demo"}
ACTING_MAY_IMPORT |= {"recording", "_backend"}


def acts_on_models(path):
    """Tell whether a file of `diagnosis` may know Keras."""
    return bool({*pathlib.Path(path).with_suffix("").parts} & ACT_ON_MODELS)


def imports(path):
    """Return (module, whether at import time) of each import of a file."""
    found = []

    def visit(node, late):
        for child in ast.iter_child_nodes(node):
            inside = late or isinstance(
                child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            )
            if isinstance(child, ast.Import):
                found.extend((alias.name, not late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{path} imports relatively"
                names = [f"{child.module}.{a.name}" for a in child.names]
                found.extend((name, not late) for name in names)
            visit(child, inside)

    visit(ast.parse(path.read_text()), False)
    return found


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name_of(path):
    return str(path.relative_to(PACKAGE))


def imports_of(*parts):
    """Return (part, path, module, early) of all imports, or those of parts."""
    return [
        (part_of(path), name_of(path), module, early)
        for path in MODULES
        for module, early in imports(path)
        if not parts or part_of(path) in parts
    ]


def test_each_part_has_its_place():
    unknown = {part_of(path) for path in MODULES} - {*MAY_IMPORT, *TOP}
    assert not unknown, "say in this test what these may import"


def test_imports_go_down_only():
    wrong = []
    for part, path, module, early in imports_of(*MAY_IMPORT):
        package, *rest = module.split(".")
        if package != "keras_gradguard":
            continue
        allowed = rest[0] == part or rest[0] in MAY_IMPORT[part]
        if not early:
            allowed |= (part, rest[0]) in LATE
        if part == "diagnosis" and acts_on_models(path):
            allowed |= rest[0] in ACTING_MAY_IMPORT
        if not allowed:
            wrong.append(f"{path} must not import {module}")
    assert not wrong


def test_reporters_know_findings_and_no_rules():
    for _, path, module, _ in imports_of("reporting"):
        if module.startswith("keras_gradguard.diagnosis"):
            # What a finding is, and which follows from which.
            found = module.startswith(
                (
                    "keras_gradguard.diagnosis.finding",
                    "keras_gradguard.diagnosis.causes",
                )
            )
            assert found, f"{path} must not import {module}"


def test_only_the_upper_parts_import_keras():
    for part, path, module, early in imports_of(*WITHOUT_KERAS):
        if early and not (part == "diagnosis" and acts_on_models(path)):
            package = module.split(".")[0]
            assert package not in {"keras", *BACKENDS}, path


def test_rules_and_judgements_know_nothing_that_acts():
    for _, path, module, early in imports_of("diagnosis"):
        if early and not acts_on_models(path):
            name = module.removeprefix("keras_gradguard.diagnosis.")
            assert name.split(".")[0] not in ACT_ON_MODELS, path


def test_private_keras_and_backends_stay_where_they_belong():
    for part, path, module, _ in imports_of():
        package = module.split(".")[0]
        if part != "recording":
            assert not module.startswith("keras.src"), path
        assert package != "tf_keras", path
        if package in BACKENDS:
            assert pathlib.Path(path).parts[:2] == ("_backend", package), path


def test_backends_offer_the_same_names():
    offered = {}
    for backend in BACKENDS:
        source = (PACKAGE / "_backend" / backend / "__init__.py").read_text()
        (names,) = [
            ast.literal_eval(node.value)
            for node in ast.parse(source).body
            if isinstance(node, ast.Assign)
        ]
        offered[backend] = {*names}
    # The trainer holds the state on JAX only.
    only_jax = {"in_stateless_scope", "state_by_variable"}
    assert offered["jax"] - only_jax == offered["torch"]
    assert offered["torch"] == offered["tensorflow"]


def test_optional_packages_are_imported_when_needed():
    for part, path, module, early in imports_of():
        package = module.split(".")[0]
        optional = {"matplotlib", "tensorboard", "sklearn", "rich"}
        if part == "tensorboard_plugin":
            optional -= {"tensorboard"}  # which imports it
        assert not early or package not in optional, path
