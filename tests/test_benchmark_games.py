"""The small environments of benchmarks/: their rules, by hand."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import golf
import knight

# A tour of the board from its corner, as everybody can check with a finger.
TOUR = [0, 7, 4, 13, 24, 17, 20, 11, 2, 9, 18, 21, 10, 1, 8, 19, 22, 15, 6, 3, 14, 23, 16, 5, 12]


def test_a_tour_of_the_whole_board_earns_24_and_ends() -> None:
    env = knight.Knight()
    check_env(env, skip_render_check=True)
    assert knight.jumps().sum() == 96  # 4 (n - 1)(n - 2) edges of a board of n x n, both ways
    seed = next(seed for seed in range(100) if env.reset(seed=seed)[0][0, 0])
    _, info = env.reset(seed=seed)
    assert np.flatnonzero(info["action_mask"]).tolist() == [7, 11]
    steps = [env.step(np.int64(square)) for square in TOUR[1:]]
    assert [reward for _, reward, *_ in steps] == [1.0] * 24
    assert [ended for _, _, ended, *_ in steps] == [False] * 23 + [True]
    assert steps[-1][0].sum() == 26  # where it stands, and 25 squares visited


@pytest.mark.parametrize("square", [0, 12, 24])  # where it stands; no knight's move; neither
def test_an_illegal_jump_ends_the_tour_and_earns_nothing(square: int) -> None:
    env = knight.Knight()
    while not env.reset()[0][0, 0]:
        pass
    _, reward, terminated, _, info = env.step(np.int64(square))
    assert (reward, terminated) == (0.0, True)
    assert np.flatnonzero(info["action_mask"]).tolist() == [7, 11]


def test_masks_allow_what_the_rules_do() -> None:
    env, draw = knight.Knight(), np.random.default_rng(0)
    for seed in range(20):
        (_, visited), info = env.reset(seed=seed)
        ended, square = False, int(np.flatnonzero(visited)[0])
        while not ended:
            row, column = divmod(square, 5)
            legal = [
                5 * i + j
                for i in range(5)
                for j in range(5)
                if {abs(i - row), abs(j - column)} == {1, 2} and not visited[5 * i + j]
            ]
            assert np.flatnonzero(info["action_mask"]).tolist() == legal
            square = int(draw.choice(legal))
            (_, visited), reward, ended, _, info = env.step(np.int64(square))
            assert reward == 1.0


def stroke(env: golf.Golf, club: str, strength: float, aim: float = 0.0) -> float:
    """Metres left after a stroke; what the action says of other clubs must not count."""
    others = {name: np.ones(2 - (name == "putter"), np.float32) for name in golf.CLUBS}
    swing = np.array([strength, aim][: len(others[club])], np.float32)
    env.step(others | {"club": golf.CLUBS.index(club), club: swing})
    return env.distance


def test_a_stroke_goes_as_far_as_its_club_and_drifts_with_the_wind(monkeypatch: pytest.MonkeyPatch) -> None:
    env = golf.Golf()
    check_env(env, skip_render_check=True)
    monkeypatch.setattr(golf, "SCATTER", 0.0)
    env.reset(seed=0)
    env.distance, env.wind = 200.0, 0.0
    assert stroke(env, "wood", 1.0) == pytest.approx(80.0)  # 200 - 120
    assert stroke(env, "iron", 0.0) == pytest.approx(80.0 - math.sqrt(8 * 40))  # half-way by factors
    env.distance, env.wind = 100.0, 1.0
    assert stroke(env, "wood", -1.0) == pytest.approx(math.hypot(60.0, 0.15 * 40))  # blown aside
    env.distance = 50.0
    assert stroke(env, "wood", -1.0, -1.0) == pytest.approx(
        math.hypot(50.0 - 40 * math.cos(0.3), 0.15 * 40 - 40 * math.sin(0.3))
    )
    env.distance = 8.0
    assert stroke(env, "putter", 1.0) == 0.0  # what rolls, the wind leaves alone


def test_every_stroke_counts_and_the_caddie_holes_out_in_few() -> None:
    env = gym.make("golf:Golf-v0")

    def play(seed: int) -> float:
        observation, _ = env.reset(seed=seed)
        score = 0.0
        while True:
            action: dict[str, Any] = golf.caddie(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            score += float(reward)
            if terminated or truncated:
                assert terminated, "given up"
                return score

    assert -2.8 < np.mean([play(seed) for seed in range(100)]) < -2.2
