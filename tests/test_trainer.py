"""The whole job, as a user sees it: train, look at the folder, resume, act."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2c
from a2c.errors import CheckpointError
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import read_rows

LIGHT = ("device=cpu", "wandb.mode=disabled", "gif=false", "vectorization=sync")
QUICK = (*LIGHT, "eval.every=0", "eval.episodes=2", "eval.final_episodes=2", "log_every=200")
IDENTITY = ("env.id=envs.toys:Identity-v0", "algo=a2c_paper", "num_envs=4", "optimizer=adam", "lr=0.01", "beta=0")


def config(runs: Path, *overrides: str) -> Config:
    return a2c.load_config(f"runs_dir={runs}", *QUICK, *overrides)


def rows(summary: a2c.Summary) -> list[dict[str, Any]]:
    return list(read_rows(Path(summary.folder) / "metrics.jsonl"))


def test_the_agent_learns_which_symbol_it_sees(tmp_path: Path) -> None:
    # 20 steps an episode, 1 for naming the symbol: chance is 20/3, knowing it is 20.
    summary = a2c.train(config(tmp_path, *IDENTITY, "total_steps=4000"))
    assert summary.eval_mean == 20.0
    assert summary.eval_std == 0.0


def test_a_run_leaves_a_folder_that_tells_everything(tmp_path: Path) -> None:
    arguments = ("env=cartpole", "num_envs=5", "n_step=4", "total_steps=1000", "gif=true", "eval.every=500")
    summary = a2c.train(config(tmp_path, *arguments))
    folder = Path(summary.folder)
    assert json.loads((folder / "summary.json").read_text())["env_steps"] == summary.env_steps == 1000
    assert (tmp_path / "latest").resolve() == folder.resolve()
    for name in ("curve.png", "agent.gif", "checkpoints/best.pt", "checkpoints/last.pt"):
        assert (folder / name).stat().st_size > 0, name
    steps = [row["global_step"] for row in rows(summary)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 1000
    evaluated = [row["global_step"] for row in rows(summary) if "eval/mean_reward" in row]
    assert len(evaluated) == 2  # at the first update past 500 steps, and at the end
    expected = {
        "rollout/episodes", "train/policy_loss", "train/value_loss", "train/entropy", "train/loss", "train/grad_norm",
        "train/explained_variance", "train/learning_rate", "time/fps", "time/env_frac", "time/transfer_frac",
        "time/act_frac", "time/update_frac", "time/eval_frac", "time/other_frac",
    }  # fmt: skip
    assert all(expected <= row.keys() for row in rows(summary))


def test_episode_counts_and_env_steps_are_exact(tmp_path: Path) -> None:
    # Identity is truncated every 20 steps: 4 environments x 250 steps = 1000 steps, 12 whole episodes in each
    summary = a2c.train(config(tmp_path, *IDENTITY, "n_step=5", "total_steps=1000"))
    assert (summary.env_steps, summary.updates, summary.episodes) == (1000, 50, 4 * 12)


def test_a_resumed_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = a2c.train(config(tmp_path, *IDENTITY, "total_steps=1000"))
    saved = load_checkpoint(Path(first.last_checkpoint))
    second = a2c.train(config(tmp_path, "resume=latest", "total_steps=2000"))
    assert second.folder == first.folder
    assert (second.env_steps, second.updates) == (2000, 2 * first.updates)
    assert second.episodes > first.episodes
    assert second.wall_time > first.wall_time
    steps = [row["global_step"] for row in rows(second)]
    assert steps == sorted(set(steps)), "rows were written twice"
    assert saved["state"]["env_steps"] == 1000
    again = load_checkpoint(Path(second.last_checkpoint))
    # the accumulator of the optimizer went on: Adam counts its steps
    decayed = float(again["learner"]["optimizer"]["decayed"][1])  # 0.999^t
    assert round(math.log(decayed) / math.log(0.999)) == second.updates


def test_a_resumed_run_starts_from_the_weights_and_statistics_that_were_saved(tmp_path: Path) -> None:
    first = a2c.train(config(tmp_path, *IDENTITY, "normalize_obs=true", "normalize_reward=true", "total_steps=1000"))
    saved = load_checkpoint(Path(first.last_checkpoint))
    # a rate so small that nothing moves: what comes out is what went in
    second = a2c.train(config(tmp_path, "resume=latest", "total_steps=1020", "lr=1e-30"))
    again = load_checkpoint(Path(second.last_checkpoint))
    assert second.updates == first.updates + 1
    weights = {name for name in saved["learner"]["model"] if not name.startswith("normalizer")}
    assert len(weights) == 12
    for name in weights:
        assert torch.equal(again["learner"]["model"][name], saved["learner"]["model"][name]), name
    # 20 transitions more in every running statistic
    assert again["learner"]["model"]["normalizer.count"] == saved["learner"]["model"]["normalizer.count"] + 20 == 1020
    assert again["collector"]["reward_normalizer"]["count"] == 1020
    moments = [checkpoint["learner"]["optimizer"]["exp_avg_sq"] for checkpoint in (saved, again)]
    gradient = (moments[1] - 0.999 * moments[0]) / 0.001  # Adam's second moment went on from the saved one
    assert (gradient > -1e-9).all()
    assert (gradient > 0).any()


def test_settings_of_a_resumed_run_come_from_the_run(tmp_path: Path) -> None:
    a2c.train(config(tmp_path, *IDENTITY, "n_step=7", "total_steps=300"))
    resumed = config(tmp_path, "resume=latest", "total_steps=600")
    assert (resumed.env.id, resumed.n_step, resumed.lr, resumed.total_steps) == (
        "envs.toys:Identity-v0", 7, 0.01, 600,
    )  # fmt: skip


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    a2c.train(config(tmp_path, *IDENTITY, "total_steps=300"))
    with pytest.raises(CheckpointError, match="does not fit: its network has other layers"):
        a2c.train(config(tmp_path, "resume=latest", "total_steps=600", "network.hidden_sizes=[8]"))


def test_a_loaded_policy_acts_and_scores_like_the_run(tmp_path: Path) -> None:
    summary = a2c.train(config(tmp_path, *IDENTITY, "total_steps=4000"))
    policy = a2c.load_policy(summary.folder)
    assert [int(policy.act(symbol)) for symbol in np.eye(3, dtype=np.float32)] == [0, 1, 2]
    assert policy.act(np.eye(3, dtype=np.float32)).tolist() == [0, 1, 2]
    result = a2c.evaluate(policy, episodes=3)
    assert result.rewards == [20.0] * 3
    assert result.lengths == [20] * 3


def test_the_best_checkpoint_is_the_best_evaluation_and_the_later_of_equals(tmp_path: Path) -> None:
    summary = a2c.train(config(tmp_path, *IDENTITY, "total_steps=4000", "eval.every=400"))
    evaluations = [(row["eval/mean_reward"], row["global_step"]) for row in rows(summary) if "eval/mean_reward" in row]
    assert len(evaluations) == 10
    score, step = max(evaluations)  # of equal scores the larger step
    best = load_checkpoint(Path(str(summary.best_checkpoint)))
    assert (best["state"]["best_eval"], best["state"]["env_steps"]) == (score, step)
    assert (summary.best_eval, summary.best_step) == (score, step)


def test_every_evaluation_has_its_row_on_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = a2c.train(config(tmp_path, *IDENTITY, "total_steps=4000", "eval.every=90", "log_every=100"))
    evaluated = [f"{row['global_step']:,}" for row in rows(summary) if "eval/mean_reward" in row]
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines() if re.search(r"±\d", line)]
    assert shown == evaluated
    assert len(shown) > 40


def test_evaluation_disturbs_nothing(tmp_path: Path) -> None:
    arguments = ("env=pendulum", "total_steps=2000", "eval.episodes=1", "eval.final_episodes=1")
    often = a2c.train(config(tmp_path / "often", *arguments, "eval.every=200"))
    never = a2c.train(config(tmp_path / "never", *arguments))
    weights = [load_checkpoint(Path(summary.last_checkpoint))["learner"]["model"] for summary in (often, never)]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_ac_is_a2c_with_one_environment_and_one_step(tmp_path: Path) -> None:
    summary = a2c.train(config(tmp_path, *IDENTITY, "num_envs=1", "n_step=1", "total_steps=300"))
    assert summary.updates == 300
