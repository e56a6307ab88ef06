"""What only a memory can learn is learned with one, and played by whoever loads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import a2c
from a2c.playing.episode import play_episode
from registrations import forget


@pytest.fixture(autouse=True)
def t_maze() -> Iterator[None]:
    yield
    forget(["TMaze-v0"], ["memory_toys"])


def settings(folder: Path, *overrides: str) -> a2c.Config:
    return a2c.load_config(
        "env.id=memory_toys:TMaze-v0",
        "total_steps=40_000",
        "num_envs=8",
        "n_step=12",  # two episodes
        "optimizer=adam",
        "lr=5e-3",
        "network.hidden_sizes=[16]",
        "network.memory_size=16",
        "vectorization=sync",
        "threads=1",
        "device=cpu",
        "wandb.mode=disabled",
        "gif=false",
        "log_every=8000",
        "eval.every=0",
        "eval.final_episodes=30",
        f"runs_dir={folder}",
        *overrides,
    )


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_memory_turns_where_the_sign_at_the_entrance_said(kind: str, tmp_path: Path) -> None:
    summary = a2c.train(settings(tmp_path, f"network.memory={kind}"))
    assert summary.eval_mean == 1.0
    policy = a2c.load_policy(summary.folder)
    assert a2c.evaluate(policy, 20).mean == 1.0
    assert a2c.evaluate(policy, 3).mean == 1.0  # another batch: nothing is left of the one before
    for seed in range(4):
        frames, _, score = play_episode(policy, seed)
        assert (len(frames), score) == (6, 1.0)


def test_without_a_memory_it_is_a_coin(tmp_path: Path) -> None:
    """Else the maze would show nothing."""
    summary = a2c.train(settings(tmp_path, "total_steps=8000"))
    assert summary.eval_mean is not None
    assert summary.eval_mean < 0.7
