"""A callback sees every report; what it gives is logged, and what it asks for is done."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2c
from a2c.errors import CallbackFailure, ConfigError, EnvironmentFailure
from a2c.run import stopping
from a2c.run.summary import Summary
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import METRICS, read_rows
from builders import LIGHT

LADDER = "env.id=curriculum_toys:Ladder-v0"
LAYOUTS = {
    "sync": ("vectorization=sync",),
    "groups": ("vectorization=sync", "env_groups=2"),
    "workers": ("vectorization=workers", "num_workers=2", "main_shard=false"),
    "main shard": ("vectorization=workers", "num_workers=1", "main_shard=true"),
    "async": ("vectorization=async",),
}


def train(folder: Path, *overrides: str, on_report: Any = None) -> Summary:
    cfg = a2c.load_config(*LIGHT, "total_steps=600", f"runs_dir={folder}", *overrides)
    return a2c.train(cfg, on_report=on_report)


def rows_of(summary: Summary) -> list[dict[str, Any]]:
    return read_rows(Path(summary.folder) / METRICS)


def last(summary: Summary) -> dict[str, Any]:
    return load_checkpoint(Path(summary.last_checkpoint))


def test_it_sees_the_report_and_its_numbers_are_in_the_row(tmp_path: Path) -> None:
    seen: list[a2c.Progress] = []

    def look(progress: a2c.Progress) -> dict[str, Any]:
        seen.append(progress)
        assert progress.policy.act(np.zeros(4, np.float32)) in (0, 1)
        assert progress.policy.env_steps == progress.env_steps
        lengths = [episode.length for episode in progress.episodes]
        odd = {"flag": True, "tensor": torch.tensor(1.5), "numpy": np.float32(0.5), "none": math.nan, "a/b": 3}
        return {"episodes": len(lengths), "steps": sum(lengths), **odd}

    summary = train(tmp_path, "env=cartpole", "eval.every=300", on_report=look)
    rows = rows_of(summary)
    assert [progress.env_steps for progress in seen] == [row["global_step"] for row in rows]
    assert len(rows) == 6
    for row, progress in zip(rows, seen, strict=True):
        assert progress.update == row["global_step"] / 16  # 2 environments, 8 steps each
        assert progress.total_steps == 600
        assert progress.metrics["train/entropy"] == row["train/entropy"]
        assert progress.metrics.get("eval/mean_reward") == row.get("eval/mean_reward")
        assert (row["callback/flag"], row["callback/tensor"], row["callback/numpy"]) == (True, 1.5, 0.5)
        assert row["callback/none"] is None
        assert row["callback/a/b"] == 3
    assert [row["global_step"] for row in rows if "eval/mean_reward" in row] == [304, 608]
    assert sum(row["callback/episodes"] for row in rows) == rows[-1]["rollout/episodes"] == summary.episodes
    with pytest.raises(RuntimeError, match="this report is over"):
        seen[0].stop("late")


def test_without_one_the_run_is_the_same(tmp_path: Path) -> None:
    """Neither its weights nor its rows depend on somebody looking."""

    def rows(summary: Summary) -> list[dict[str, Any]]:
        return [{key: row[key] for key in row if not key.startswith("time/")} for row in rows_of(summary)]

    plain = train(tmp_path, "env=cartpole", "eval.every=300")
    looked = train(tmp_path, "env=cartpole", "eval.every=300", on_report=lambda progress: None)
    assert rows(plain) == rows(looked)
    for name, tensor in last(plain)["learner"]["model"].items():
        assert torch.equal(tensor, last(looked)["learner"]["model"][name])


@pytest.mark.parametrize("every", [0, 300], ids=["no evaluation before", "evaluations"])
def test_it_ends_the_run_in_order(every: int, tmp_path: Path) -> None:
    def enough(progress: a2c.Progress) -> None:
        if progress.env_steps >= 200:
            progress.stop("it is\n good enough")

    summary = train(tmp_path, "env=cartpole", f"eval.every={every}", on_report=enough)
    assert summary.env_steps == 208
    assert summary.ended == "it is good enough"
    assert summary.stopped is None  # exit code 0
    assert summary.eval_mean is not None
    assert summary.best_step == 208
    assert rows_of(summary)[-1]["eval/mean_reward"] == summary.best_eval
    assert last(summary)["state"]["env_steps"] == 208
    assert Summary.read(Path(summary.folder)) == summary
    again = train(tmp_path, "env=cartpole", f"eval.every={every}", "resume=auto", on_report=enough)
    assert again == summary  # it is finished
    over = train(tmp_path, f"resume={summary.folder}", "eval.every=0")
    assert (over.env_steps, over.ended) == (208, summary.ended)
    further = train(tmp_path, f"resume={summary.folder}", "total_steps=800")
    assert (further.env_steps, further.ended) == (800, None)


def test_it_keeps_checkpoints_under_its_own_names(tmp_path: Path) -> None:
    def keep(progress: a2c.Progress) -> None:
        for wrong in ("last", "best", "best-1", "a/b", "", "..", ".hidden"):
            with pytest.raises(ValueError, match="is no name for a checkpoint"):
                progress.save(wrong)
        progress.save(f"at_{progress.update}")

    summary = train(tmp_path, "env=cartpole", "total_steps=300", "checkpoint.keep=1", on_report=keep)
    folder = Path(summary.folder) / "checkpoints"
    kept = sorted(path.name for path in folder.glob("at_*.pt"))
    assert kept == ["at_13.pt", "at_19.pt", "at_7.pt"]
    assert a2c.load_policy(folder / "at_7.pt").env_steps == 112
    resumed = train(tmp_path, f"resume={folder / 'at_13.pt'}")
    whole = [{key: row[key] for key in row if not key.startswith("time/")} for row in rows_of(summary)]
    again = [{key: row[key] for key in row if not key.startswith("time/")} for row in rows_of(resumed)]
    assert again == whole  # the row of its report came with it


def test_one_that_raises_is_named_with_its_own_traceback_and_the_run_is_saved(tmp_path: Path) -> None:
    def late(progress: a2c.Progress) -> dict[str, Any]:
        if progress.env_steps > 200:
            return {"x": 1 / 0}
        return {"x": 1}

    with pytest.raises(CallbackFailure, match=r"on_report \(.*late\) raised ZeroDivisionError in a report") as caught:
        train(tmp_path, "env=cartpole", on_report=late)
    assert caught.value.exit_code == EnvironmentFailure.exit_code == 3
    assert str(caught.value).startswith("callback error: ")
    (note,) = caught.value.__notes__
    assert note.startswith("Traceback")
    assert "1 / 0" in note
    assert "/a2c/" not in note
    (folder,) = (tmp_path / "CartPole-v1").iterdir()
    saved = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert saved["state"]["env_steps"] == 208
    assert [row["global_step"] for row in read_rows(folder / METRICS)] == [112, 208]  # the last without its number
    assert train(tmp_path, f"resume={folder}").env_steps == 608


def exits(progress: a2c.Progress) -> None:
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (exits, CallbackFailure, "raised SystemExit in a report"),
        (lambda progress: 3, CallbackFailure, "returned a int; it must be a mapping of numbers, or None"),
        (lambda progress: {"x": "1"}, CallbackFailure, "returned a str for 'x'"),
        (lambda progress: {1: 1}, CallbackFailure, "returned the name 1"),
        (lambda progress: progress.stop(""), CallbackFailure, "raised TypeError in a report: stop needs"),
        (lambda progress: progress.call("harder", object()), CallbackFailure, "a object is no plain data"),
        (7, ConfigError, "on_report=7 must be a function of one argument"),
    ],
)  # fmt: skip
def test_what_it_may_not_do_is_said_in_one_line(function: Any, error: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=text):
        train(tmp_path, "env=cartpole", on_report=function)


def test_one_that_does_not_return_is_left_when_the_run_is_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "PATIENCE", 0.1)

    def hang(progress: a2c.Progress) -> None:
        progress.call("harder")  # what comes after it is still the callback's
        if progress.env_steps >= 200:
            progress.stop("late")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
            pytest.fail("nobody broke in")

    summary = train(tmp_path, LADDER, on_report=hang)
    assert (summary.stopped, summary.ended, summary.env_steps) == ("SIGTERM", None, 208)
    assert last(summary)["state"]["env_steps"] == 208


# ---- stop_at ----


@pytest.mark.parametrize("apart", ["false", "true"])
def test_training_ends_with_the_first_evaluation_of_that_score(apart: str, tmp_path: Path) -> None:
    more = ("env=cartpole", "eval.every=100", "lr=0.01", f"eval.apart={apart}")
    scores = {row["global_step"]: row["eval/mean_reward"] for row in rows_of(train(tmp_path, *more))}
    goal = sorted(scores.values())[len(scores) // 2]
    first = min(step for step, score in scores.items() if score >= goal)
    assert first < 608
    summary = train(tmp_path, *more, f"stop_at={goal}")
    assert summary.env_steps == first
    assert summary.ended == f"eval/mean_reward {scores[first]:.2f} reached stop_at={goal}"
    assert summary.eval_mean is not None


def test_a_goal_must_be_a_score_or_a_threshold_that_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="curriculum_toys:Ladder-v0 is registered without one; give a score"):
        train(tmp_path, LADDER, "stop_at=threshold", "eval.every=100")
    for wrong in ("stop_at=soon", "stop_at=1e"):
        with pytest.raises(ConfigError, match=r"stop_at='.*' must be threshold, or a score like 475"):
            train(tmp_path, "env=cartpole", wrong)
    for off in ("eval.every=0", "eval.episodes=0"):
        with pytest.raises(ConfigError, match=f"stop_at=475 needs evaluations during training, and {off} makes none"):
            train(tmp_path, "env=cartpole", "stop_at=475", "eval.every=100", off)


# ---- infos ----


@pytest.mark.parametrize("layout", LAYOUTS)
def test_means_of_last_infos_are_logged_wherever_environments_run(layout: str, tmp_path: Path) -> None:
    """As a callback counts them itself."""
    counted: list[dict[str, float]] = []

    def count(progress: a2c.Progress) -> None:
        infos = [episode.info for episode in progress.episodes]
        assert all(set(info) == {"success", "level", "text", "place"} for info in infos)  # "odd" is no plain data
        assert all(info["place"].shape == (3,) for info in infos)
        progress.call("harder")
        means = {key: float(np.mean([info[key] for info in infos])) for key in ("success", "level") if infos}
        counted.append({f"episode/{key}": mean for key, mean in means.items()})

    summary = train(tmp_path, LADDER, "log_info=[success,level]", "num_envs=3", *LAYOUTS[layout], on_report=count)
    logged = [{key: row[key] for key in row if key.startswith("episode/")} for row in rows_of(summary)]
    assert logged == [{key: pytest.approx(mean) for key, mean in means.items()} for means in counted]
    assert logged[0]["episode/level"] == 0 < logged[-1]["episode/level"]
    assert 0 < logged[0]["episode/success"] < 1


def test_a_key_that_makes_no_mean_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = train(tmp_path, LADDER, "log_info=[success,text,distance]")
    said = capsys.readouterr().out
    assert said.count("log_info: 'text' of the last infos is a str, no number") == 1
    assert said.count("has the key 'distance'") == 1
    assert {key for row in rows_of(summary) for key in row if key.startswith("episode/")} == {"episode/success"}


# ---- calls ----


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_method_of_every_environment_is_called_in_order(layout: str, tmp_path: Path) -> None:
    given: list[list[Any]] = []

    def call(progress: a2c.Progress) -> None:
        given.append(progress.call("harder", by=2))
        given.append(progress.call("climb"))
        given.append(progress.call("itself"))
        progress.stop("enough")

    train(tmp_path, LADDER, "num_envs=3", *LAYOUTS[layout], on_report=call)
    assert given == [[2, 2, 2], [4, 4, 4], [None] * 3]


@pytest.mark.parametrize("layout", ["sync", "workers", "main shard", "async"])
def test_an_environment_that_fails_in_a_call_is_named(layout: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match=r"environment 0.*raised ZeroDivisionError in the call of 'fall'"):
        train(tmp_path, LADDER, *LAYOUTS[layout], on_report=lambda progress: progress.call("fall"))
    (path,) = tmp_path.glob("*/2*/checkpoints/last.pt")
    saved = load_checkpoint(path)
    assert saved["state"]["update"] == 7  # 2 environments, 8 steps each: the first report
    assert saved["collector"]["in_flight"] is not None
    assert saved["collector"]["calls"] == []  # the one that failed has not been made
    with pytest.raises(EnvironmentFailure, match=r"raised AttributeError in the call of 'hardr'"):
        train(tmp_path, LADDER, *LAYOUTS[layout], on_report=lambda progress: progress.call("hardr"))


@pytest.mark.parametrize("layout", ["sync", "workers", "async"])
def test_an_environment_that_hangs_in_a_call_is_named(layout: str, tmp_path: Path) -> None:
    more = (*LAYOUTS[layout], "env.step_timeout=0.5", "eval.apart=false")
    with pytest.raises(EnvironmentFailure, match=r"environment 0 did not answer in 0.5 s"):
        train(tmp_path, LADDER, *more, on_report=lambda progress: progress.call("wait"))
