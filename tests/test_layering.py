"""Who may import whom: each part imports only from lower floors."""

import ast
import graphlib
import itertools
import pathlib

import pytest

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_gradguard"
BACKENDS = {"tensorflow", "jax", "torch"}
# From the ground up. A part imports itself and what stands below it.
FLOORS = (
    (
        "version",
        "exceptions",
        "_optional",
        "_text",
        "_files",
        "_validation",
        "_registration",
    ),
    ("_paths", "_backend"),
    ("stats",),
    ("trace",),
    ("models", "findings"),
    ("clippers",),
    ("optimizers",),
    ("recording", "presets", "reporting"),
    ("diagnosis", "edits", "layers", "tensorboard_plugin"),
    # Kept by a callback, and judged by what a rule calls growth.
    ("capsule",),
    ("preflight", "callbacks"),
    # Runs `fit` with a callback of its own.
    ("healing", "demo", "replaying"),
    ("commands",),
    ("__init__", "__main__"),
)
# The imports that go up, all of them late.
UPWARD = {
    ("keras_gradguard.findings.remedy", "keras_gradguard.edits"),
    # What a notebook shows of them.
    ("keras_gradguard.findings.finding", "keras_gradguard.reporting.notebook"),
    ("keras_gradguard.trace.trace", "keras_gradguard.reporting.notebook"),
    ("keras_gradguard.trace.trace", "keras_gradguard.reporting.plots"),
}
# What these may import besides `_`-files and the floors under them.
NARROW = {
    "recording": {"stats", "_backend", "models", "trace"},
    "diagnosis": {"trace", "findings", "reporting", "_text"},
    "reporting": {"trace", "findings", "_text"},
}
LOWEST = {*FLOORS[0], "_paths"}
WITHOUT_KERAS = {
    *LOWEST,
    "trace",
    "findings",
    "reporting",
    "diagnosis",
    "tensorboard_plugin",
}
OPTIONAL = {"matplotlib", "tensorboard", "sklearn", "rich"}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(module):
    return (*module.split("."), "__init__")[1]


def imports(path):
    """Yield (module, whether at import time) of each import of a file."""

    def visit(node, late):
        for child in ast.iter_child_nodes(node):
            inside = late or isinstance(
                child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            )
            if isinstance(child, ast.Import):
                yield from ((alias.name, not late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{path} imports relatively"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    module = full if full in MODULES else child.module
                    yield module, not late
            yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text()), False)


IMPORTS = [
    (name, module, early)
    for name, path in MODULES.items()
    for module, early in imports(path)
]
OWN = [entry for entry in IMPORTS if entry[1] in MODULES]


def test_each_part_has_a_floor():
    known = {part for floor in FLOORS for part in floor}
    assert {part_of(name) for name in MODULES} <= known


def test_imports_go_down_only():
    level = {part: i for i, floor in enumerate(FLOORS) for part in floor}
    wrong = [
        f"{name} must not import {module}"
        for name, module, early in OWN
        if part_of(name) != part_of(module)
        and level[part_of(name)] <= level[part_of(module)]
        and (early or (name, module) not in UPWARD)
    ]
    assert not wrong


def test_no_circle_between_modules():
    # Late imports count: a circle is one, whenever it closes.
    graph = {name: set() for name in MODULES}
    for name, module, _ in OWN:
        if (name, module) not in UPWARD:
            graph[name].add(module)
    graphlib.TopologicalSorter(graph).prepare()


# From the ground up, inside of a part.
STAIRS = {"diagnosis": ("evidence", "remedies", "rules")}


@pytest.mark.parametrize("part", STAIRS)
def test_folders_of_a_part_import_down_only(part):
    level = {name: i for i, name in enumerate(STAIRS[part])}

    def level_of(module):
        _, *rest = module.removeprefix(f"keras_gradguard.{part}").split(".")
        return level.get(rest[0] if rest else "", len(level))

    wrong = [
        f"{name} must not import {module}"
        for name, module, _ in OWN
        if part_of(name) == part_of(module) == part
        and level_of(name) < level_of(module)
    ]
    assert not wrong


def test_some_parts_know_little():
    wrong = [
        f"{name} must not import {module}"
        for name, module, _ in OWN
        if part_of(name) in NARROW
        and part_of(module)
        not in {part_of(name), *LOWEST, *NARROW[part_of(name)]}
    ]
    assert not wrong


def test_only_the_upper_parts_import_keras():
    for name, module, early in IMPORTS:
        if early and part_of(name) in WITHOUT_KERAS:
            assert module.split(".")[0] not in {"keras", *BACKENDS}, name


def test_private_keras_and_backends_stay_where_they_belong():
    for name, module, _ in IMPORTS:
        package = module.split(".")[0]
        if name != "keras_gradguard.models.keras_private":
            assert not module.startswith("keras.src"), name
        assert package != "tf_keras", name
        if package in BACKENDS:
            own = f"keras_gradguard._backend.{package}"
            assert name.startswith(own), name


READS = {"getattr", "setattr", "hasattr", "patches.replace", "patches.hide"}


def functions_in(tree):
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def private_names(path):
    """Yield the names with one underscore that a file reads or spells out."""
    for node in ast.walk(ast.parse(path.read_text())):
        name = None
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            name = None if own else node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
        if name and name.isidentifier() and name[0] == "_" != name[1:2]:
            yield name


def test_a_private_name_of_keras_stands_in_one_file():
    own = MODULES["keras_gradguard.models.keras_private"]
    known = set(private_names(own))
    # The file says how many are left.
    assert f"They are {len(known)} names" in own.read_text()
    spread = [
        f"{name} reads {private}"
        for name, path in MODULES.items()
        if path != own and part_of(name) not in WITHOUT_KERAS
        for private in known.intersection(private_names(path))
    ]
    # Keras asks an `AutoClip` for it, too.
    allowed = [
        "keras_gradguard.optimizers.auto_clip reads "
        "_model_variables_moving_average"
    ]
    assert not [entry for entry in spread if entry not in allowed]


def test_no_function_reads_a_private_name_that_it_is_given():
    # It would be a way around the test above.
    tree = ast.parse(
        MODULES["keras_gradguard.models.keras_private"].read_text()
    )
    public = [n for n in functions_in(tree) if not n.name.startswith("_")]
    assert len(public) > 30
    for function in public:
        given = {argument.arg for argument in function.args.args}
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and len(call.args) > 1:
                name = call.args[1]
                reads = ast.unparse(call.func) in READS
                taken = isinstance(name, ast.Name) and name.id in given
                assert not (reads and taken), function.name


def test_optional_packages_are_imported_when_needed():
    for name, module, early in IMPORTS:
        optional = OPTIONAL
        if part_of(name) == "tensorboard_plugin":
            optional = optional - {"tensorboard"}  # which imports it
        assert not early or module.split(".")[0] not in optional, name


BACKEND = PACKAGE / "_backend"


def functions_of(nodes):
    """Return dict of name to the names of its arguments and to defaults."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            names = [a.arg for a in arguments.args if a.arg != "self"]
            if arguments.vararg is not None:
                names.append(f"*{arguments.vararg.arg}")
            defaults = [ast.unparse(value) for value in arguments.defaults]
            found[node.name] = names, defaults
        elif isinstance(node, ast.ClassDef):
            made = functions_of(node.body)
            found[node.name] = made.get("__init__", ([], []))
            found |= {
                f"{node.name}.{name}": value for name, value in made.items()
            }
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            # Another name for a function above.
            for target in node.targets:
                found[target.id] = found.get(node.value.id)
    return found


def wanted_of(protocol, tree):
    (node,) = [
        node for node in tree.body if getattr(node, "name", "") == protocol
    ]
    return functions_of(node.body)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_a_backend_is_what_its_interface_says(backend):
    tree = ast.parse((BACKEND / "interface.py").read_text())
    wanted = wanted_of("Backend", tree)
    if backend == "jax":
        wanted |= wanted_of("StatelessBackend", tree)
    if backend != "torch":
        wanted |= wanted_of("CompilingBackend", tree)
    package = ast.parse((BACKEND / backend / "__init__.py").read_text())
    offered = {}
    for node in package.body:
        if isinstance(node, ast.ImportFrom):
            path = ROOT / (node.module.replace(".", "/") + ".py")
            given = functions_of(ast.parse(path.read_text()).body)
            for alias in node.names:
                offered[alias.name] = given[alias.name]
    assert offered.keys() == wanted.keys()
    for name, signature in wanted.items():
        if name == "copy" and backend == "jax":
            continue  # arrays are immutable: it is `read`
        given = offered[name]
        if name in ("Ring", "Outbox", "Flag", "ForwardPass"):
            given = given[0], []
        assert given == signature, name


def test_a_long_module_says_why():
    for name, path in MODULES.items():
        text = path.read_text()
        if len(text.splitlines()) > 350:
            said = ast.get_docstring(ast.parse(text)) or ""
            assert "Longer than 350 lines, since" in said, name


def test_findings_are_made_in_one_place():
    made = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Finding"
    }
    assert made == {"keras_gradguard.findings.build"}


RULES = PACKAGE / "diagnosis" / "rules"


def is_numeric(node):
    """Whether an expression is a number, or a tuple or a dict of some."""
    if isinstance(node, ast.Dict):
        return bool(node.values) and all(map(is_numeric, node.values))
    if isinstance(node, ast.Tuple):
        return bool(node.elts) and all(map(is_numeric, node.elts))
    if isinstance(node, ast.BinOp):
        return is_numeric(node.left) and is_numeric(node.right)
    if isinstance(node, ast.UnaryOp):
        return is_numeric(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def test_the_thresholds_of_a_rule_stand_in_one_file():
    for path in RULES.glob("*/**/*.py"):
        if path.name == "thresholds.py":
            continue
        tree = ast.parse(path.read_text())
        classes = [n.body for n in tree.body if isinstance(n, ast.ClassDef)]
        for node in itertools.chain(tree.body, *classes):
            if isinstance(node, ast.Assign) and is_numeric(node.value):
                raise AssertionError(f"{path}: {ast.unparse(node)}")
