"""Evaluations that end by themselves, that are counted, that are one, or none."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import a2c
from a2c.__main__ import main
from a2c.playing.evaluation import Evaluator, eval_seeds
from a2c.run.checkpoints import Checkpoints
from a2c.run.showing.console import Console
from a2c.storage.metrics_file import read_rows
from foreign_runs import HOW, settings

pytestmark = pytest.mark.long


def scored(summary: a2c.Summary) -> list[int]:
    return [
        row["global_step"] for row in read_rows(Path(summary.folder) / "metrics.jsonl") if "eval/mean_reward" in row
    ]


@pytest.mark.parametrize("apart", ["false", "true"])
def test_an_episode_that_never_ends_is_cut_counted_and_named(tmp_path: Path, capsys: Any, apart: str) -> None:
    cfg = settings(tmp_path, *HOW["sync"], "eval.max_steps=30", "eval.episodes=2", f"eval.apart={apart}", ends=False)
    summary = a2c.train(cfg)
    assert (summary.eval_mean, summary.eval_cut) == (30.0, 1)
    rows = [row for row in read_rows(Path(summary.folder) / "metrics.jsonl") if "eval/mean_reward" in row]
    assert [(row["eval/mean_reward"], row["eval/cut"]) for row in rows] == [(30.0, 2.0)] * 2
    said = capsys.readouterr().out
    assert said.count("has no time limit: evaluations cut episodes at 30 steps (eval.max_steps)") == 1
    assert said.count("evaluation: 2 of 2 episodes cut at 30 steps (eval.max_steps)") == 2
    assert "(1 cut by eval.max_steps)" in said
    if apart == "false":
        assert main(["eval", f"run={summary.folder}", "episodes=3", "--trust"]) == 0
        assert "3 of 3 episodes cut at 30 steps (eval.max_steps)" in capsys.readouterr().out


def test_an_episode_that_ends_in_time_is_not_cut_nor_is_one_with_a_limit_of_its_own(tmp_path: Path) -> None:
    summary = a2c.train(settings(tmp_path, *HOW["sync"], "eval.max_steps=10"))  # which its episodes have
    assert (summary.eval_mean, summary.eval_cut) == (10.0, 0)
    limited = settings(tmp_path, "env.max_episode_steps=40", "eval.max_steps=10", ends=False)
    assert Evaluator(limited.env, 1, 10).limit is None
    assert Evaluator(settings(tmp_path, "env.id=CartPole-v1").env, 1, 10).limit is None
    result = Evaluator(limited.env, 1, 10).run(a2c.load_policy(summary.folder), [1])
    assert result is not None
    assert (result.lengths, result.cut) == ([40], 0)


def test_with_every_0_there_is_one_evaluation_whose_score_is_the_final_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[list[int]] = []
    run = Evaluator.run

    def counted(self: Evaluator, policy: Any, seeds: list[int], **more: Any) -> Any:
        runs.append(seeds)
        return run(self, policy, seeds, **more)

    monkeypatch.setattr(Evaluator, "run", counted)
    summary = a2c.train(settings(tmp_path, *HOW["sync"], "eval.every=0", "eval.final_episodes=3"))
    assert runs == [eval_seeds(5, 3, final=True)]
    assert scored(summary) == [200]
    assert summary.best_checkpoint is not None
    assert summary.eval_mean == summary.best_eval == 10.0


def test_with_no_episodes_there_is_no_evaluation_nor_an_environment_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "__init__", None)
    summary = a2c.train(settings(tmp_path, *HOW["sync"], "eval.episodes=0", "gif=true"))
    assert scored(summary) == []
    kept = json.loads((Path(summary.folder) / "summary.json").read_text())
    assert (kept["eval_mean"], kept["eval_episodes"], kept["gif"], kept["best_checkpoint"]) == (None, 0, None, None)
    resumed = a2c.train(a2c.load_config(f"resume={summary.folder}", "total_steps=300", trust=True))
    assert resumed.env_steps == 300


def test_a_score_that_is_not_finite_is_never_the_best_and_never_in_json(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, settings(tmp_path), print)
    assert [checkpoints.improves(score) for score in (math.nan, math.inf, 1.0, math.nan, 0.5, 2.0)] == [
        *(False, False, True),
        *(False, False, True),
    ]
    summary = a2c.train(settings(tmp_path, *HOW["sync"], "eval.episodes=0"))
    replace(summary, eval_mean=math.nan, time={"env": math.inf}).write()
    kept = json.loads((Path(summary.folder) / "summary.json").read_text(), parse_constant=pytest.fail)
    assert (kept["eval_mean"], kept["time"]) == (None, {"env": None})


@pytest.mark.parametrize("apart", ["false", "true"])
def test_training_shows_how_many_episodes_have_ended(tmp_path: Path, apart: str, monkeypatch: Any) -> None:
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(Console, "evaluating", lambda self, ended, episodes: shown.append((ended, episodes)))
    a2c.train(settings(tmp_path, *HOW["sync"], "eval.episodes=3", f"eval.apart={apart}"))
    if apart == "false":
        assert shown == [*((0, 3), (1, 3), (2, 3), (3, 3)) * 2, (0, 1), (1, 1)]
    else:  # training waits for the final one, and for others only if they are not there in time
        assert shown[-1] == (1, 1)
