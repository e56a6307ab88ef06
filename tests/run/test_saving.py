"""A save that fails is tried again, and a damaged checkpoint costs no more than what came after the one before it."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

import a2c
from a2c.cli import main
from a2c.errors import CheckpointError, RunIOError
from a2c.run import checkpoints
from a2c.storage import kept_checkpoints
from a2c.storage.checkpoint import load_checkpoint, save_checkpoint
from a2c.storage.metrics_file import read_rows
from builders import LIGHT

pytestmark = pytest.mark.long

SAVING = ("env=cartpole", *LIGHT, "n_step=5", "checkpoint.every=100")


def config(folder: Path, *overrides: str) -> a2c.Config:
    return a2c.load_config(*SAVING, f"runs_dir={folder}/runs", "total_steps=600", *overrides)


def trained(folder: Path, *overrides: str) -> Path:
    return Path(a2c.train(config(folder, *overrides)).folder).resolve()


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


class Disk:
    """Fails saves of one name as a full disk would: the kernel refuses to let the file grow.

    Args:
        fails: which saves of the name, counted from 1.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, fails: Any) -> None:
        self.saves: list[int] = []
        self.waits: list[float] = []
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        def save(path: Path, payload: dict[str, Any]) -> None:
            if path.name != f"{name}.pt":
                return save_checkpoint(path, payload)
            self.saves.append(payload["state"]["env_steps"])
            full = len(self.saves) in fails
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if full else limits[0], limits[1]))
            try:
                return save_checkpoint(path, payload)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        monkeypatch.setattr(kept_checkpoints, "save_checkpoint", save)
        monkeypatch.setattr(checkpoints.time, "sleep", self.waits.append)


# ---- a save fails ----


def test_a_run_keeps_its_last_three_checkpoints_unless_told(tmp_path: Path) -> None:
    assert names(trained(tmp_path)) == ["best.pt", "last-000000400.pt", "last-000000500.pt", "last.pt"]
    assert names(trained(tmp_path, "checkpoint.keep=1")) == ["best.pt", "last.pt"]


def test_a_save_that_fails_is_told_and_made_up_for_by_the_next_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    disk = Disk(monkeypatch, "last", fails={2, 3})
    run = trained(tmp_path, "checkpoint.every=200", "total_steps=1000")
    # due at 200, 400, ...; what fails at 400 is tried again with the reports at 500 and 600
    assert disk.saves == [200, 400, 500, 600, 800, 1000, 1000]  # the last before its evaluation, and after
    assert disk.waits == []
    out = " ".join(capsys.readouterr().out.split())
    assert "last.pt: File too large; the old one stays, and the next report tries again (1 of 3)" in out
    assert "the next report tries again (2 of 3)" in out
    assert names(run) == ["best.pt", "last-000000600.pt", "last-000000800.pt", "last.pt"]


def test_the_third_failure_in_a_row_ends_the_run_with_the_old_checkpoint_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, "last", fails={3, 4, 5})
    with pytest.raises(RunIOError, match=r"cannot write .*last\.pt: File too large") as caught:
        a2c.train(config(tmp_path, "total_steps=2000"))
    assert caught.value.exit_code == 6
    assert disk.saves == [100, 200, 300, 400, 500]
    (folder,) = tmp_path.glob("runs/*/*/checkpoints")
    assert sorted(path.name for path in folder.iterdir()) == ["last-000000100.pt", "last.pt"]
    assert load_checkpoint(folder / "last.pt")["state"]["env_steps"] == 200


def test_a_best_checkpoint_that_could_not_be_saved_is_saved_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, "best", fails={1})
    run = trained(tmp_path, "eval.every=300", "total_steps=500", "lr=1e-30")
    # evaluated at 300, failed, saved with the report at 400; of equal scores the longer trained one is the best
    assert disk.saves == [300, 300, 500]
    kept = load_checkpoint(run / "checkpoints" / "best-000000300.pt")["state"]
    assert (kept["env_steps"], kept["update"]) == (300, 30)


@pytest.mark.parametrize("fails", [{6, 7}, {6, 7, 8, 9}])
def test_the_save_at_the_end_waits_a_little_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: set[int]
) -> None:
    disk = Disk(monkeypatch, "last", fails)
    if len(fails) == 2:
        run = trained(tmp_path)
        assert disk.saves[5:] == [600, 600, 600, 600]  # before its evaluation, and after
        assert load_checkpoint(run / "checkpoints" / "last.pt")["state"]["env_steps"] == 600
    else:
        with pytest.raises(RunIOError, match="File too large"):
            trained(tmp_path)
    assert disk.waits == list(checkpoints.WAITS[: len(fails)][:3])


# ---- a checkpoint is damaged ----


def damage(path: Path) -> str:
    os.truncate(path, path.stat().st_size - 1)
    return f"{path} is damaged or no checkpoint of a2c: it does not match its SHA-256"


def test_a_run_goes_on_from_the_newest_whole_checkpoint_and_its_rows_go_back_to_it(tmp_path: Path, capsys: Any) -> None:
    run = trained(tmp_path)
    says = damage(run / "checkpoints" / "last.pt")
    capsys.readouterr()
    assert main(["train", f"resume={run}", f"runs_dir={tmp_path}/runs", "total_steps=700"]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"{says}; using {run}/checkpoints/last-000000500.pt\n"
    assert "resumed after 500 steps" in printed.out
    assert [row["global_step"] for row in read_rows(run / "metrics.jsonl")] == [100, 200, 300, 400, 500, 600, 700]
    lasts = [name for name in names(run) if name.startswith("last")]
    assert lasts == ["last-000000500.pt", "last-000000600.pt", "last.pt"]


@pytest.mark.parametrize("command", ["eval", "watch"])
def test_who_plays_a_run_is_told_of_its_damaged_best_checkpoint(
    tmp_path: Path, command: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path, "eval.every=300", "lr=1e-30")
    says = damage(run / "checkpoints" / "best.pt")
    capsys.readouterr()
    assert main([command, f"run={run}", "episodes=1"]) == 0
    assert capsys.readouterr().err == f"{says}; using {run}/checkpoints/best-000000300.pt\n"
    with pytest.raises(CheckpointError, match=r"SHA-256; .*last\.pt is whole"):
        a2c.load_policy(run / "checkpoints" / "best.pt")
    assert main([command, f"run={run}/checkpoints/best.pt"]) == 5


def test_the_final_score_is_of_a_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def save(path: Path, payload: dict[str, Any]) -> None:
        save_checkpoint(path, payload)
        if path.name == "best.pt" and payload["state"]["env_steps"] == 600:
            damage(path)

    monkeypatch.setattr(kept_checkpoints, "save_checkpoint", save)
    run = trained(tmp_path, "eval.every=300", "lr=1e-30")
    assert "best-000000300.pt" in " ".join(capsys.readouterr().out.split())
    assert json.loads((run / "summary.json").read_text())["best_checkpoint"].endswith("best-000000300.pt")


def test_a_run_without_a_whole_checkpoint_never_starts_from_scratch(tmp_path: Path, capsys: Any) -> None:
    run = trained(tmp_path, "checkpoint.keep=2")
    for path in (run / "checkpoints").iterdir():
        damage(path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    capsys.readouterr()
    assert main(["train", f"resume={run}", f"runs_dir={tmp_path}/runs", "total_steps=700"]) == 5
    said = capsys.readouterr().err
    assert said.startswith(f"checkpoint error: {run}/checkpoints/last.pt is damaged")
    assert "; nor is any of last-000000500.pt, best.pt whole" in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before
    assert main(["eval", f"run={run}"]) == 5


def test_another_number_of_environments_is_told_with_what_is_dropped(tmp_path: Path, capsys: Any) -> None:
    run = trained(tmp_path)
    capsys.readouterr()
    assert main(["train", f"resume={run}", f"runs_dir={tmp_path}/runs", "total_steps=700", "num_envs=4"]) == 0
    assert capsys.readouterr().err == (
        "resuming with other settings than before: num_envs=4 (was 2); "
        "episodes in flight and what their rewards have added up to are dropped\n"
    )
