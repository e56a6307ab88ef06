"""Imports go only downward, and what must be quick to start imports nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import a2c

PACKAGE = Path(a2c.__file__).parent

# Every wing of the house and its floor, from the ground: who imports stands above whom, or beside.
FLOORS = [
    {"errors", "maths", "rollout"},
    {"storage"},
    {"settings"},
    {"machine"},
    {"envs", "device_envs"},
    {"network"},
    {"collecting", "learning", "playing"},
    {"run", "build"},
    {"trainer", "a3c"},
    {"api"},
    {"study", "sweeps"},
    {"cli"},
    {"__main__"},
]
FLOOR = {wing: floor for floor, wings in enumerate(FLOORS) for wing in wings}
# Where Hydra and OmegaConf may be imported, W&B, and torch inside the wings that worker processes load.
HYDRA = {"cli", "api", "settings"}
WANDB = {"run/tracking/wandb_mirror.py"}
WITHOUT_TORCH = {"errors", "storage/metrics_file.py", "storage/folders.py", "settings", "machine/processes", "envs"}
WITH_TORCH = {"envs/device"}  # and, inside a function, what only the main process calls
TWICE = {"__init__.py", "learner.py", "lockstep.py", "run.py"}  # file names that may occur more than once


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def wing(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def below(path: Path, places: set[str]) -> bool:
    return any(place(path) == where or place(path).startswith(f"{where}/") or wing(path) == where for where in places)


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, at_once: bool = False) -> Iterator[str]:
    """Every module that a file imports, those for the type checker left out.

    Args:
        path: the file.
        at_once: leave out those inside functions too.
    """
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if (isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING")
        or (at_once and isinstance(block, ast.FunctionDef))
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            for alias in node.names:
                inside = PACKAGE.parent / Path(*node.module.split("."), alias.name)
                is_module = inside.is_dir() or inside.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module


each_file = pytest.mark.parametrize("path", files(), ids=place)


@each_file
def test_imports_go_only_downward(path: Path):
    here = wing(path)
    if here == "__init__":
        return  # the public names, each imported on first use
    assert here in FLOOR, f"{here} stands on no floor"
    for module in imports(path):
        if module.startswith("a2c."):
            there = module.split(".")[1]
            assert FLOOR[there] <= FLOOR[here], f"{place(path)} imports {module}, which is above it"
            assert there != "study" or here in {"study", "cli"}, f"{place(path)} imports the study"


def test_no_import_leads_back_to_where_it_came_from():
    known = {module_of(path): path for path in files()}
    graph = {
        module: {name for name in imports(path) if name in known and name != module} for module, path in known.items()
    }
    graph["a2c"] = set()  # the public names, each imported on first use
    circles = TopologicalSorter(graph)
    circles.prepare()  # raises CycleError, with the circle


def test_wings_on_one_floor_form_no_circle():
    graph: dict[str, set[str]] = {}
    for path in files():
        here = wing(path)
        if here != "__init__":
            there = {module.split(".")[1] for module in imports(path) if module.startswith("a2c.")}
            graph.setdefault(here, set()).update(there - {here})
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


@each_file
def test_libraries_stay_in_their_rooms(path: Path):
    used = {module.split(".")[0] for module in imports(path)}
    if wing(path) not in HYDRA:
        assert not used & {"hydra", "omegaconf"}
    if place(path) not in WANDB:
        assert "wandb" not in used
    if below(path, WITHOUT_TORCH) and not below(path, WITH_TORCH):
        assert "torch" not in {module.split(".")[0] for module in imports(path, at_once=True)}


@each_file
def test_no_file_outgrows_one_idea(path: Path):
    assert len(path.read_text().splitlines()) <= 260


def test_the_ground_plan_is_small_and_every_file_has_a_name_of_its_own():
    top = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    modules = {name for name in top if name.endswith(".py")} - {"__init__.py", "__main__.py"}
    folders = {name for name in top if (PACKAGE / name).is_dir()}
    assert len(modules) <= 7
    assert len(folders) <= 14
    names = Counter(path.name for path in files())
    assert {name for name, count in names.items() if count > 1} <= TWICE


def imported_by(statement: str) -> set[str]:
    program = (
        f"{statement}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_and_its_command_line_start_light():
    assert not imported_by("import a2c, a2c.cli") & {"torch", "gymnasium", "wandb", "hydra", "numpy", "matplotlib"}


def test_a_config_error_does_not_wait_for_torch():
    statement = "from a2c.cli import main; assert main(['train', 'gama=1']) == 2; assert main(['train', '--help']) == 0"
    assert not imported_by(statement) & {"torch", "gymnasium", "wandb", "matplotlib"}


def test_a_mistake_in_the_study_does_not_wait_for_what_it_measures_with():
    statement = "from a2c.cli import main; assert main(['study', 'claims=[lagg]']) == 2; main(['study', '--help'])"
    assert not imported_by(statement) & {"torch", "gymnasium", "matplotlib", "scipy", "numpy"}


def test_worker_processes_load_no_torch():
    assert not imported_by(
        "import a2c.envs, a2c.settings.config, a2c.envs.make_vector_env, a2c.envs.vector.shard_worker"
    ) & {"torch", "wandb", "hydra"}
