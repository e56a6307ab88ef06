"""Imports go only downward, and what must be quick to start imports nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import a2c

PACKAGE = Path(a2c.__file__).parent

# Who stands on which floor; a file may import from lower floors and from its own.
FLOORS = [
    {"config", "errors", "returns", "losses", "noise", "suggest", "records", "folders", "cores"},
    {"envs", "distributions", "schedules", "normalize", "spec", "device", "device_envs"},
    {"rollout", "model", "optim", "checkpoint", "tracking", "console"},
    {"learner", "evaluation", "policy"},
    {"trainer", "run", "report", "study", "overrides", "resume", "compose", "hogwild", "algorithms"},
    {"cli", "api", "__main__"},
]
HIGHEST = {name: level for level, names in enumerate(FLOORS) for name in names}
HYDRA = {"cli", "api", "compose", "overrides", "resume"}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, of_types: bool = False) -> Iterator[str]:
    """Every module that a file imports, inside functions too; those for the type checker alone if asked."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in hidden and not of_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            for alias in node.names:
                below = PACKAGE.parent / Path(*node.module.split("."), alias.name)
                is_module = below.is_dir() or below.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def level(name: str) -> int:
    """A file that no floor names stands where the highest thing that it imports does."""
    if name not in HIGHEST:
        path = PACKAGE / f"{name}.py"
        below = [module.split(".")[1] for module in imports(path) if module.startswith("a2c.")]
        HIGHEST[name] = max([level(other) for other in below if other != name], default=0)
    return HIGHEST[name]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_only_downward(path: Path):
    here = room(path)
    if here == "__init__":
        return  # the public names, each imported on first use
    for module in imports(path):
        if module.startswith("a2c."):
            there = module.split(".")[1]
            assert there == here or level(there) <= level(here), f"{here} imports {there}, which is above it"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path):
    used = {module.split(".")[0] for module in imports(path)}
    if room(path) not in HYDRA:
        assert not used & {"hydra", "omegaconf"}
    if room(path) != "tracking":
        assert "wandb" not in used
    if room(path) in {"config", "errors", "envs"}:
        assert "torch" not in used


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_outgrows_one_idea(path: Path):
    assert len(path.read_text().splitlines()) <= 320


def imported_by(statement: str) -> set[str]:
    program = (
        f"{statement}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
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
    assert not imported_by("import a2c.envs, a2c.config, a2c.envs.make, a2c.envs.worker") & {"torch", "wandb", "hydra"}
