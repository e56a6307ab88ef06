"""``help(a2c)`` and ``help(a2c.train)`` teach: every name is listed, every argument told, and every example runs."""

from __future__ import annotations

import inspect
import pydoc
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import a2c
from builders import LIGHT
from registrations import forgetting_own

DOCS = {"a2c": a2c.__doc__ or "", **{name: inspect.getdoc(getattr(a2c, name)) or "" for name in a2c.__all__}}
FUNCTIONS = ["load_config", "train", "load_policy", "evaluate", "n_step_returns", "lambda_returns", "actor_critic_loss"]
TAUGHT = ["load_config", "train", "load_policy", "evaluate", "Policy", "Progress"]
METHODS = [
    f"{name}.{method}"
    for name in ("Policy", "Progress")
    for method, _ in inspect.getmembers(getattr(a2c, name), inspect.isfunction)
    if not method.startswith("_")
]


def found(name: str) -> Any:
    """What a dotted name of the package stands for."""
    thing: Any = a2c
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def examples(text: str) -> list[str]:
    """The programs in a docstring: what is indented after a line that ends in two colons."""
    return [textwrap.dedent(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", text + "\n")]


def section(text: str, title: str) -> str:
    """What stands below ``Args:`` and the like; empty if there is none."""
    match = re.search(rf"^{title}:\n((?:    .*\n|\n)*)", text + "\n", re.MULTILINE)
    return match[1] if match else ""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which CartPole has been trained, for examples that begin with ``latest``."""
    folder = tmp_path_factory.mktemp("trained")
    a2c.train(a2c.load_config("env=cartpole", *LIGHT, "total_steps=100", f"runs_dir={folder / 'runs'}"))
    return folder


@pytest.fixture
def quick(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples run in a copy of that folder, with their own settings, but for a moment only."""
    load_config = a2c.load_config
    shorter = (*LIGHT, "total_steps=200", "eval.max_steps=100")
    monkeypatch.setitem(vars(a2c), "load_config", lambda *typed, **given: load_config(*typed, *shorter, **given))
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "here", symlinks=True))
    with forgetting_own():
        yield


def test_help_of_the_package_lists_every_public_name() -> None:
    listed = re.findall(r"^    (\w+) {2,}\S", a2c.__doc__ or "", re.MULTILINE)
    assert sorted(listed) == sorted(a2c.__all__)
    shown = pydoc.plain(pydoc.render_doc(a2c))
    assert "load_policy             the policy of a run" in shown
    for name in TAUGHT:  # they load on first use; help() finds them all the same
        assert re.search(rf"^    (class )?{name}\(", shown, re.MULTILINE), name


@pytest.mark.parametrize("name", ["a2c", *TAUGHT])
def test_its_examples_run(name: str, quick: None) -> None:
    programs = examples(DOCS[name].partition("What there is")[0])
    assert programs
    for program in programs:
        assert "import a2c\n" in program or program != programs[0]  # the first can be typed as it stands
        variables = {"__name__": "__main__", "a2c": a2c}
        exec(compile(program, f"<help(a2c.{name})>", "exec"), variables)  # noqa: S102


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_every_argument_and_every_result_is_told(name: str) -> None:
    signature, text = inspect.signature(found(name)), inspect.getdoc(found(name)) or ""
    told = set(re.findall(r"\w+", " ".join(re.findall(r"^    ([\w, ]+):", section(text, "Args"), re.MULTILINE))))
    assert {*signature.parameters} - {"self"} == told
    assert (signature.return_annotation not in ("None", None)) == bool(section(text, "Returns"))


@pytest.mark.parametrize("name", ["load_config", "train", "load_policy", "evaluate"])
def test_what_it_raises_is_told_by_public_names(name: str) -> None:
    raised = re.findall(r"^    ([\w, ]+):", section(DOCS[name], "Raises"), re.MULTILINE)
    assert raised
    assert {part.strip() for line in raised for part in line.split(",")} <= set(a2c.__all__)
