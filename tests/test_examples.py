"""The programs of examples/ run, as somebody types them."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from a2c.cli import main
from a2c.storage.metrics_file import read_rows
from registrations import forgetting_own

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ELSEWHERE = {"early_stopping", "curriculum", "memory_in_your_loop"}  # tests/test_callback_examples.py
NEEDS = {"with_envpool": "envpool"}  # 300 MB, which make setup leaves out
QUICK = ("total_steps=200", "num_envs=2", "eval.every=0", "eval.final_episodes=2", "eval.episodes=2", "gif=false",
         "eval.max_steps=40", "wandb.mode=disabled")  # fmt: skip


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    modules = set(sys.modules)
    with forgetting_own():
        yield
    for name in {path.stem for path in EXAMPLES.glob("*.py")} & (set(sys.modules) - modules):
        del sys.modules[name]


@pytest.mark.parametrize("name", sorted({path.stem for path in EXAMPLES.glob("*.py")} - ELSEWHERE))
def test_an_example_trains_and_says_a_score(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    _run(name, monkeypatch)
    assert re.match(r"-?\d+\.\d+", capsys.readouterr().out.splitlines()[-1])


def test_the_command_beside_the_chain_of_wrappers_is_the_same_training(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES / "wrapper_chain.py").read_text().split('"""')[1]
    command = shlex.split(text[text.index("a2c train") :].replace("\\\n", ""))
    assert main([*command[1:], *QUICK]) == 0
    _run("wrapper_chain", monkeypatch)
    typed, programmed = (
        [{key: value for key, value in row.items() if "time" not in key} for row in read_rows(path)]
        for path in sorted(Path("runs").glob("*/20*/metrics.jsonl"))
    )
    assert typed == programmed != []


def test_the_docs_name_every_example() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]:
        assert f"(../examples/{path.name})" in text


def _run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *QUICK])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
