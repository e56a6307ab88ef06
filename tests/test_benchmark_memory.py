"""The environments of benchmarks/ in which a memory is measured: what they show, and what they pay."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import cartpole_views
import costs
import t_maze
from learning_tasks import MEMORY

from a2c.api import load_config


@pytest.mark.parametrize("turn", [0, 1])
def test_the_maze_shows_its_sign_at_the_entrance_alone_and_pays_for_the_turn_that_it_meant(turn: int) -> None:
    env = t_maze.TMaze(length=3)
    check_env(env, skip_render_check=True)
    seed = next(seed for seed in range(100) if env.reset(seed=seed)[0][0] == 2 * turn - 1)
    for action, paid in ((turn, 1.0), (1 - turn, 0.0)):
        seen = [env.reset(seed=seed)[0]]
        for wrong in (1 - turn, turn, 1 - turn):  # on the way no action matters
            obs, *rest = env.step(np.int64(wrong))
            seen.append(obs)
            assert rest[:3] == [0.0, False, False]
        np.testing.assert_array_equal(seen, [[2 * turn - 1, 0], [0, 0], [0, 0], [0, 1]])
        assert env.step(np.int64(action))[1:4] == (paid, True, False)


def test_the_views_are_of_the_same_pole() -> None:
    whole, positions, parts = map(gym.make, ("CartPole-v1", "PositionCartPole-v1", "DictCartPole-v1"))
    for step in range(30):
        seen = [env.reset(seed=7)[0] if step == 0 else env.step(step % 2)[0] for env in (whole, positions, parts)]
        np.testing.assert_array_equal(seen[1], seen[0][[0, 2]])
        np.testing.assert_array_equal(np.concatenate([seen[2][name] for name in cartpole_views.NAMES]), seen[0])
        assert all(obs in env.observation_space for obs, env in zip(seen, (whole, positions, parts), strict=True))


@pytest.mark.parametrize("name", ["t-maze lstm", "t-maze gru", "cartpole positions gru"])
def test_without_a_memory_is_the_same_training_but_for_the_memory(name: str) -> None:
    game, memory = name.rsplit(" ", 1)
    remembering, bare = (load_config(*MEMORY[f"{game} {kind}"].overrides) for kind in (memory, "mlp"))
    assert (remembering.network.memory, bare.network.memory) == (memory, None)
    remembering.network.memory = None
    assert remembering == bare


def test_gradients_reach_from_the_end_of_the_corridor_to_its_entrance() -> None:
    length = t_maze.TMaze().length
    assert all(
        load_config(*task.overrides).n_step > length for name, task in MEMORY.items() if name.startswith("t-maze")
    )


@pytest.mark.parametrize("name", costs.COSTS)
def test_what_a_cost_adds_is_the_only_difference(name: str) -> None:
    cost = costs.COSTS[name]
    without, added = (load_config(*own, *costs.COMMON) for own in (cost.without, cost.added))
    assert without != added
    assert (added.num_envs, added.network.memory_size) == (16, 64)
    added.env.id, added.network.memory = without.env.id, None
    assert without == added


def test_a_cost_is_named_as_what_it_compares() -> None:
    found = {"after / before": {"mean": 0.5}, "rounds": 5, "per second": {"before": [2.0], "after": [1.0]}}
    named = {"with / without": {"mean": 0.5}, "rounds": 5, "per second": {"without": [2.0], "with": [1.0]}}
    assert costs.renamed(found) == named
