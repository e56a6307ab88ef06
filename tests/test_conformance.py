"""Every space in every way of stepping it: it trains, is scored, acts in a user's own loop and resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import a2c
from builders import LIGHT

SPACES = ("Cells", "Switches", "Hybrid", "Legal", "Board", "Scene", "LegalBoard")
WAYS = {
    "sync": ("vectorization=sync",),
    "workers": ("vectorization=workers", "num_workers=2"),
    "both": ("vectorization=workers", "num_workers=1", "main_shard=true"),
    "async": ("vectorization=async",),
    "groups": ("vectorization=sync", "env_groups=2"),
}
SHORT = (*LIGHT, "num_envs=4", "n_step=4", "total_steps=160")


def train(tmp_path: Path, *overrides: str) -> Path:
    cfg = a2c.load_config(*SHORT, f"runs_dir={tmp_path}", *overrides)
    return Path(a2c.train(cfg).folder)


@pytest.fixture(scope="module")
def in_this_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: train(tmp_path_factory.mktemp(name), f"env.id=space_toys:{name}-v0") for name in SPACES}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(
    "way", ["workers", *(pytest.param(way, marks=pytest.mark.long) for way in ("both", "async", "groups"))]
)
def test_whoever_steps_it_the_weights_are_the_same(
    name: str, way: str, in_this_process: dict[str, Path], tmp_path: Path
) -> None:
    run = train(tmp_path, f"env.id=space_toys:{name}-v0", *WAYS[way])
    ours, theirs = (a2c.load_policy(one).model.state_dict() for one in (in_this_process[name], run))
    # Batches of other sizes may round the last bit of a product otherwise.
    for key in ours:
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=1e-5 if way == "groups" else 0)


@pytest.mark.parametrize("name", SPACES)
def test_a_policy_acts_in_an_environment_that_nobody_wrapped(name: str, in_this_process: dict[str, Path]) -> None:
    policy = a2c.load_policy(in_this_process[name])
    env = gym.make(f"space_toys:{name}-v0", disable_env_checker=True)
    obs, info = env.reset(seed=3)
    for deterministic in (True, False) * 4:
        mask = info.get("action_mask")
        obs = policy_input(obs, name)
        action = policy.act(obs, deterministic, mask=mask)
        assert env.action_space.contains(action)
        obs, _, _, _, info = env.step(action)
        assert np.isfinite(policy.value(policy_input(obs, name)))
    env.close()


def policy_input(obs: Any, name: str) -> Any:
    return np.moveaxis(obs, -1, 0) if name == "Board" else obs


@pytest.mark.parametrize("name", SPACES)
def test_a_resumed_run_ends_with_the_weights_of_an_undisturbed_one(
    name: str, in_this_process: dict[str, Path], tmp_path: Path
) -> None:
    part = train(tmp_path, f"env.id=space_toys:{name}-v0", "total_steps=80")
    resumed = train(tmp_path, f"resume={part}", "total_steps=160")
    runs = (in_this_process[name], resumed)
    ours, theirs = (a2c.load_policy(run / "checkpoints" / "last.pt").model.state_dict() for run in runs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ("name", "algo"),
    [
        *((name, "ac") for name in SPACES),
        *(pytest.param(name, "a3c", marks=[] if name == "Hybrid" else pytest.mark.long) for name in SPACES),
    ],
)
def test_other_algorithms_train_it(name: str, algo: str, tmp_path: Path) -> None:
    run = train(tmp_path, f"env.id=space_toys:{name}-v0", f"algo={algo}", "num_envs=1", "n_step=4")
    assert a2c.load_policy(run).env_steps >= 160


@pytest.mark.parametrize("name", ["Legal", "LegalBoard"])
@pytest.mark.parametrize("where", ["info", "obs", "method"])
def test_masks_are_found_wherever_they_are_told(where: str, name: str, tmp_path: Path) -> None:
    run = train(tmp_path, f"env.id=space_toys:{name}-v0", f"env.kwargs={{where: {where}}}")
    policy = a2c.load_policy(run)
    assert policy.model.spaces.mask == 8
    assert a2c.evaluate(policy, episodes=3).mean == 10


@pytest.mark.parametrize(
    ("name", "score"),
    [("Cells", 18), ("Switches", 9), ("Hybrid", 6), ("Board", 5), ("Scene", 6)],
    ids=["cells", "switches", "hybrid", "board", "scene"],
)
def test_what_is_told_is_learned(name: str, score: float, tmp_path: Path) -> None:
    steps = 12_000 if name in ("Board", "Scene") else 20_000  # convolutions take their time
    run = train(
        tmp_path,
        f"env.id=space_toys:{name}-v0",
        "num_envs=16",
        "n_step=5",
        f"total_steps={steps}",
        "lr=0.003",
        "gamma=0",
        "optimizer=adam",
        "log_every=5000",
        "threads=1",  # tests beside it compute too
    )
    assert a2c.evaluate(a2c.load_policy(run), episodes=20).mean > score
