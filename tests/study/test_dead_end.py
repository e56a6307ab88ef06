"""The grid world with a dead end: its map, its rewards, and what chance finds in it."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from a2c.envs.single.make_env import make_env
from a2c.study import dead_end
from a2c.study.dead_end import (
    AFTER,
    BAIT,
    BAITED,
    CELLS,
    DOOR,
    GOAL,
    MOVES,
    PRIZE,
    START,
    TIME_LIMIT,
    TRAP,
    DeadEnd,
    fate,
)
from builders import config

NORTH, EAST, SOUTH, WEST = range(4)


def walk(*actions: int) -> tuple[list[int], list[float], list[bool], list[bool]]:
    """Cells, rewards, terminations and truncations of these actions from the start."""
    env = gym.make("DeadEnd-v0", disable_env_checker=True)
    env.reset(seed=0)
    obs, rewards, terminated, truncated, _ = zip(*(env.step(np.int64(action)) for action in actions), strict=True)
    return [int(seen.argmax()) for seen in obs], [float(x) for x in rewards], list(terminated), list(truncated)


def test_gymnasium_finds_nothing_wrong_with_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(DeadEnd(), skip_render_check=True)


def test_our_trainer_finds_it_by_its_id():
    env = make_env(config(env={"id": dead_end.ID}).env)
    assert env.observation_space.shape == (len(CELLS),)
    assert env.spec is not None
    assert env.spec.max_episode_steps == TIME_LIMIT
    env.close()


def test_the_docstring_shows_the_map():
    shown = [line.strip() for line in (dead_end.__doc__ or "").splitlines()]
    for line in dead_end.MAP:
        assert any(text.startswith(line) for text in shown)


def test_the_prize_is_eight_steps_away_and_ends_the_episode():
    *_, before, cell = walk(*[EAST] * 7, NORTH)[0]
    assert before != cell == GOAL
    _, rewards, terminated, truncated = walk(*[EAST] * 7, NORTH)
    assert rewards == [0.0] * 7 + [PRIZE]
    assert terminated == [False] * 7 + [True]
    assert not any(truncated)


def test_the_bait_pays_at_every_step_until_the_clock_ends_the_episode():
    cells, rewards, terminated, truncated = walk(*[WEST] * TIME_LIMIT)
    assert cells[3:] == [BAITED] * (TIME_LIMIT - 3)
    assert sum(rewards) == pytest.approx(BAIT * 47)  # 0.235: it is reached at the fourth step
    assert not any(terminated)
    assert truncated == [False] * (TIME_LIMIT - 1) + [True]


def test_nobody_leaves_the_dead_end():
    for cell in TRAP:
        assert set(AFTER[cell]) <= TRAP
    assert AFTER[START, WEST] == DOOR
    assert AFTER[DOOR, EAST] == DOOR


def test_every_other_step_can_be_taken_back():
    for cell in set(range(len(CELLS))) - TRAP:
        for action in range(len(MOVES)):
            there = int(AFTER[cell, action])
            assert there in (cell, DOOR) or AFTER[there, (action + 2) % 4] == cell


def test_chance_finds_the_dead_end_six_times_as_often_as_the_prize():
    prize, trap = fate(np.full((len(CELLS), len(MOVES)), 0.25))
    assert prize == pytest.approx(0.11, abs=0.005)  # as the docstring says
    assert trap == pytest.approx(0.62, abs=0.005)


def test_the_chances_are_those_of_playing():
    draws = np.random.default_rng(0)
    policy = draws.dirichlet(np.ones(len(MOVES)), len(CELLS))
    env, ends = DeadEnd(), []
    for _ in range(2000):
        env.reset()
        for _ in range(TIME_LIMIT):
            if env.step(draws.choice(len(MOVES), p=policy[env.cell]))[2]:
                break
        ends.append(env.cell)
    prize, trap = fate(policy)
    assert np.mean([end == GOAL for end in ends]) == pytest.approx(prize, abs=0.04)
    assert np.mean([end in TRAP for end in ends]) == pytest.approx(trap, abs=0.04)


def test_who_always_goes_east_gets_nothing():
    east = np.zeros((len(CELLS), len(MOVES)))
    east[:, EAST] = 1.0
    assert fate(east) == (0.0, 0.0)
