"""Which part of shisen may import which, and what the first import costs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "shisen"

# The layers, from the ground up (docs/architecture.md has the picture). A room may import rooms of lower
# layers and neighbours in its own, as long as the neighbours do not import it back. (A method that draws may
# fetch what draws when it is called: AttentionMap.plot and shisen.plotting.)
LAYERS = {
    "errors": 0,
    "files": 1,
    "devices": 1,
    "attention": 1,
    "models": 2,
    "data": 2,
    "model_directory": 3,
    "training": 3,
    "decoding": 3,
    "evaluation": 3,
    "inspection": 3,
    "plotting": 3,
    "adapters": 4,
    "export": 4,
    "translation": 4,
    "engines": 4,
    "pipelines": 5,
    "generation": 5,
    "demo": 6,
    "cli": 7,
    "__main__": 8,
}
# A picture is drawn where it is asked for: the one step upwards, made when the method is called.
UPWARDS = {("attention/patterns.py", "plotting")}
HEAVY = {
    "torch",
    "transformers",
    "lightning",
    "numpy",
    "matplotlib",
    "datasets",
    "tokenizers",
    "sacrebleu",
    "pandas",
    "yaml",
}


def modules() -> list[Path]:
    """Every source file of the package."""
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The part of the house that a file belongs to: ``attention`` for ``attention/bahdanau.py``."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def is_type_checking(node: ast.AST) -> bool:
    """Whether a node is ``if TYPE_CHECKING:``, whose imports never run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports_of(path: Path, deferred: bool = True) -> list[tuple[int, str]]:
    """Each import of shisen in a file: (line number, imported room or public name).

    Without ``deferred``, only the imports that run when the module is imported, not those inside functions.
    """
    found: list[tuple[int, str]] = []
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"), filename=str(path))]
    while waiting:
        node = waiting.pop()
        if is_type_checking(node) or (isinstance(node, ast.FunctionDef) and not deferred):
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            is_root = node.module == "shisen"
            names = [f"shisen.{alias.name}" for alias in node.names] if is_root else [node.module or ""]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(SOURCE.parent).parts[: -node.level]
            names = [".".join((*package, node.module or ""))]
        else:
            continue
        found += [(node.lineno, name.split(".")[1]) for name in names if name.startswith("shisen.")]
    return sorted(found)


def test_every_room_has_a_layer():
    rooms = {room_of(path) for path in modules()} - {"__init__"}
    assert rooms - LAYERS.keys() == set(), "name the layer of each new room in LAYERS"


def test_imports_run_downwards_only():
    upwards = [
        f"{path.relative_to(SOURCE)}:{line} imports {imported}"
        for path in modules()
        if room_of(path) != "__init__"
        for line, imported in imports_of(path)
        if imported in LAYERS
        and LAYERS[imported] > LAYERS[room_of(path)]
        and (path.relative_to(SOURCE).as_posix(), imported) not in UPWARDS
    ]
    assert upwards == []


def test_no_room_takes_the_public_names_from_the_top():
    # `from shisen import Translator` inside the package would run upwards by way of the front door.
    through_the_top = [
        f"{path.relative_to(SOURCE)}:{line} imports {imported} from shisen"
        for path in modules()
        if room_of(path) != "__init__"
        for line, imported in imports_of(path)
        if imported not in LAYERS and imported != "__version__"
    ]
    assert through_the_top == []


def test_rooms_do_not_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for path in modules():
        room = room_of(path)
        if room != "__init__":
            imported = {name for _, name in imports_of(path, deferred=False) if name in LAYERS}
            graph[room] = (graph.get(room, set()) | imported) - {room}
    finished: set[str] = set()

    def visit(room: str, way: tuple[str, ...]) -> None:
        assert room not in way, "a circle: " + " → ".join((*way[way.index(room) :], room))
        if room not in finished:
            for neighbour in sorted(graph.get(room, ())):
                visit(neighbour, (*way, room))
            finished.add(room)

    for room in sorted(graph):
        visit(room, ())


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after a statement."""
    program = (
        f"import sys\n{statement}\n"
        "import json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_import_shisen_loads_nothing_heavy():
    assert loaded_by("import shisen") & (HEAVY | {"pydantic", "typer"}) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["translate", "--help"],
        ["generate", "--help"],
        ["evaluate", "--help"],
        ["perplexity", "--help"],
        ["compare-systems", "--help"],
        ["analyze", "--help"],
        ["heads", "--help"],
        ["align", "--help"],
        ["plot", "attention", "--help"],
        ["plot", "curves", "--help"],
        ["corpus", "generate", "--help"],
        ["export", "--help"],
        ["demo", "--help"],
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str]):
    statement = (
        "from shisen.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as exit: assert exit.code == 0, exit.code"
    )
    assert loaded_by(statement) & HEAVY == set()


# An import of torch fails. (To scipy, a `None` among the loaded modules would be a torch without tensors.)
WITHOUT_TORCH = """
import sys
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError(name)
sys.meta_path.insert(0, Refusal())
"""
# What runs a model, and not only reads what one has left.
RUNS_A_MODEL = {
    "inspection/attribution_alignment",
    "inspection/faithfulness",
    "inspection/head_importance",
    "inspection/intervention_edit",
    "inspection/value_weighted",
}


@pytest.mark.parametrize("room", ["inspection", "plotting"])
def test_a_saved_map_opens_and_is_drawn_without_torch(room: str):
    names = [
        "shisen." + ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for path in modules()
        if room_of(path) == room
        and not any(path.relative_to(SOURCE).as_posix().startswith(part) for part in RUNS_A_MODEL)
    ]
    assert names, f"no modules in {room}"
    assert "numpy" in loaded_by(WITHOUT_TORCH + "\n".join(f"import {name}" for name in names))
