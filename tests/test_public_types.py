"""A user's program with types: it uses every public name and argument, mypy --strict finds it right, and it runs."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest

import a2c
import typed_program
from builders import LIGHT
from registrations import forgetting_own

PROGRAM = Path(typed_program.__file__)
ROOT = PROGRAM.parents[1]
TREE = ast.parse(PROGRAM.read_text())
CALLS = [node for node in ast.walk(TREE) if isinstance(node, ast.Call)]
INTERNAL = {"with_scores", "write", "to_dict", "from_dict", "check_same", "facts", "choose", "end", "stopped", "saves"}


def test_it_uses_every_public_name() -> None:
    used = {
        node.attr
        for node in ast.walk(TREE)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "a2c"
    }
    assert set(a2c.__all__) - used == set()


@pytest.mark.parametrize("name", ["train", "evaluate", "load_policy", "load_config", "actor_critic_loss"])
def test_it_gives_every_argument_that_has_to_be_named(name: str) -> None:
    given = {word.arg for call in CALLS if ast.unparse(call.func) == f"a2c.{name}" for word in call.keywords}
    parameters = inspect.signature(getattr(a2c, name)).parameters.values()
    assert {each.name for each in parameters if each.kind is each.KEYWORD_ONLY} - given == set()


@pytest.mark.parametrize("kind", [a2c.Summary, a2c.EvalResult, a2c.Progress, a2c.Policy])
def test_it_reads_every_field_property_and_method(kind: type) -> None:
    used = {node.attr for node in ast.walk(TREE) if isinstance(node, ast.Attribute)}
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    named = fields | {name for name in vars(kind) if not name.startswith("_")}
    assert named - INTERNAL - used == set()


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = (*LIGHT, "total_steps=100", "eval.max_steps=20")
    with forgetting_own():
        summary = typed_program.train(*settings)
        assert typed_program.tell(summary) == f"{summary.eval_mean:.2f}"
        assert (Path(summary.folder) / "checkpoints" / "shorter.pt").exists()
        assert len(typed_program.measure(summary.folder, Path("runs")).rewards) == 2
        ready = typed_program.train_on_a_ready_vector_environment(*settings, "vectorization=auto")
    assert ready.eval_mean is not None
    assert typed_program.loss().shape == ()
    assert typed_program.exit_code_of("gama=0.9") == a2c.ConfigError.exit_code


@pytest.mark.long  # 15 seconds of work; `make types` checks the program too, as one of our own
def test_mypy_finds_it_right_as_a_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without our settings of mypy; of a2c the types count, and no error, as where it is installed."""
    from mypy import api

    monkeypatch.setenv("MYPYPATH", str(ROOT / "src"))
    strict = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    found, trouble, code = api.run([*strict, str(PROGRAM)])
    assert (code, trouble) == (0, ""), found
    wrong = PROGRAM.read_text().replace("  # type: ignore[", "  # was [")
    (tmp_path / "wrong.py").write_text(wrong)
    found, _, _ = api.run([*strict, str(tmp_path / "wrong.py")])
    assert found.count("error:") == PROGRAM.read_text().count("# type: ignore[")
