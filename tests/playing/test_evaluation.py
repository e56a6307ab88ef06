"""Evaluation plays every episode to its end, on seeds of its own, and changes nothing that learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from a2c.envs.seeding import TRAIN, env_seeds
from a2c.envs.spaces import Spaces
from a2c.errors import EnvironmentFailure
from a2c.playing import evaluation
from a2c.playing.evaluation import EvalResult, Evaluator, eval_seeds, evaluate
from a2c.playing.policy import Policy
from builders import config, make_model

MADE: list[SeededEnv] = []
NUMBERS = Spaces((2,), "float32", 2, discrete=True)


class SeededEnv(gym.Env[np.ndarray, np.int64]):
    """The seed decides everything: an episode of 1 + seed % 7 steps, each worth seed % 11 plus the action."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = Box(-1e3, 1e3, (2,), np.float32), Discrete(2)
        self.seeds: list[int | None] = []
        self.count, self.closed = 0, False
        MADE.append(self)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.count = 0
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict]:
        seed = self.seeds[-1]
        assert seed is not None
        self.count += 1
        over = self.count == length_of(seed)
        return self._obs(), seed % 11 + float(action), over and seed % 2 == 0, over and seed % 2 == 1, {}

    def close(self) -> None:
        self.closed = True

    def _obs(self) -> np.ndarray:
        return np.array([self.count, (self.seeds[-1] or 0) % 3 - 1], np.float32)


def length_of(seed: int) -> int:
    return 1 + seed % 7


@pytest.fixture(autouse=True)
def seeded_env() -> Iterator[None]:
    gym.register("Seeded-v0", entry_point=SeededEnv)
    MADE.clear()
    yield
    del gym.registry["Seeded-v0"]


def policy_of(**settings: Any) -> Policy:
    cfg = config(env={"id": "Seeded-v0"}, **settings)
    return Policy(make_model(NUMBERS, cfg), cfg)


class AlwaysOne(Policy):
    """Its returns follow from the seed alone: length * (seed % 11 + 1)."""

    def choose(self, obs: Any, deterministic: bool = True, rows: Any = None) -> np.ndarray:
        return np.ones(len(obs), np.int64)


def always_one() -> AlwaysOne:
    policy = policy_of()
    return AlwaysOne(policy.model, policy.cfg)


def test_every_episode_counts_whole_in_the_order_of_the_seeds():
    seeds = [*range(100, 123)]
    evaluator = Evaluator(config(env={"id": "Seeded-v0"}).env, len(seeds), 10_000)
    result = evaluator.run(always_one(), seeds)
    evaluator.close()
    assert result.lengths == [length_of(seed) for seed in seeds]
    assert result.rewards == [length_of(seed) * (seed % 11 + 1.0) for seed in seeds]


def test_mean_and_spread_by_hand():
    result = EvalResult(rewards=[1.0, 3.0, 5.0, 7.0], lengths=[1, 1, 1, 1])
    assert result.mean == 4.0
    assert result.std == pytest.approx(5**0.5)


@pytest.mark.parametrize("memory", [None, "lstm", "gru"])
@pytest.mark.parametrize("count", [1, 3, 30])
def test_the_number_of_environments_changes_nothing(monkeypatch, count, memory):
    """Nor does it with a memory, which is that of each episode alone."""
    policy, seeds = policy_of(network={"memory": memory}), [*range(50, 70)]
    expected = Evaluator(policy.cfg.env, 20, 10_000).run(policy, seeds)
    monkeypatch.setattr(evaluation, "MAX_ENVS", count)
    assert Evaluator(policy.cfg.env, 20, 10_000).run(policy, seeds) == expected
    assert len(MADE) == 10 + min(count, 20)


def test_nothing_of_an_evaluation_is_remembered():
    policy = policy_of(network={"memory": "lstm"})
    obs = np.ones(NUMBERS.obs_shape, np.float32)
    before = policy.value(obs)
    policy.act(obs)
    evaluate(policy, 5)
    assert policy.value(obs) == before


def test_every_seed_is_played_exactly_once():
    policy, seeds = policy_of(), [*range(50, 85)]
    Evaluator(policy.cfg.env, 5, 10_000).run(policy, seeds)
    assert len(MADE) == 5
    assert sorted(seed for env in MADE for seed in env.seeds) == seeds


def test_more_environments_than_episodes_do_no_harm():
    evaluator = Evaluator(config(env={"id": "Seeded-v0"}).env, 8, 10_000)
    assert evaluator.run(always_one(), [10, 4]).lengths == [4, 5]


def test_an_evaluator_is_used_again():
    policy = policy_of()
    evaluator = Evaluator(policy.cfg.env, 4, 10_000)
    first = evaluator.run(policy, [5, 6, 7, 8])
    evaluator.run(policy, [1, 2, 3, 4])
    assert evaluator.run(policy, [5, 6, 7, 8]) == first
    assert len(MADE) == 4


def test_a_stop_in_between_gives_no_result():
    policy, asked = always_one(), []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 3

    assert Evaluator(policy.cfg.env, 2, 10_000).run(policy, [6, 13], stop=stop) is None
    assert [env.count for env in MADE] == [3, 3]


def test_greedy_unless_told():
    seen = []

    class Recording(AlwaysOne):
        def choose(self, obs: Any, deterministic: bool = True, rows: Any = None) -> np.ndarray:
            seen.append(deterministic)
            return super().choose(obs)

    policy = always_one()
    recording = Recording(policy.model, policy.cfg)
    evaluate(recording, 1)
    evaluate(recording, 1, deterministic=False)
    assert (seen[0], seen[-1]) == (True, False)


@pytest.mark.parametrize("deterministic", [True, False])
def test_evaluation_changes_neither_weights_nor_statistics(deterministic):
    policy = policy_of(normalize_obs=True)
    policy.model.normalizer.update(torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(0)))
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    evaluate(policy, 5, deterministic=deterministic)
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.model.state_dict().items())
    assert all(param.grad is None for param in policy.model.parameters())


def test_training_evaluation_and_the_final_score_never_share_a_seed():
    for seed in (0, 1, 2):
        during, final = eval_seeds(seed, 100), eval_seeds(seed, 100, final=True)
        training = env_seeds(seed, TRAIN, 100)
        assert len({*during, *final, *training}) == 300
    assert not set(eval_seeds(0, 100)) & set(eval_seeds(1, 100))  # and runs do not overlap either


def test_more_episodes_begin_with_the_same_seeds():
    assert eval_seeds(3, 20)[:5] == eval_seeds(3, 5)


def test_evaluate_plays_the_final_seeds_of_the_run_unless_told():
    policy = policy_of(seed=3)
    assert policy.cfg.seed == 3
    evaluate(policy, 4)
    evaluate(policy, 4, seed=8)
    played = [env.seeds[0] for env in MADE]
    assert played == eval_seeds(3, 4, final=True) + eval_seeds(8, 4, final=True)


def test_evaluate_repeats_itself_and_closes_its_environments():
    policy = policy_of()
    assert evaluate(policy, 6) == evaluate(policy, 6)
    assert len(MADE) == 12
    assert all(env.closed for env in MADE)


def test_environments_are_closed_also_after_an_error(monkeypatch):
    policy = policy_of()
    monkeypatch.setattr(SeededEnv, "step", lambda env, action: 1 / 0)
    said = r"environment 0 of the evaluation .* raised ZeroDivisionError in step 1"
    with pytest.raises(EnvironmentFailure, match=said):
        evaluate(policy, 3)
    assert [env.closed for env in MADE] == [True] * 3
