"""The claim on coverage: what is counted is right, and every verdict can come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from a2c.study.claim import Data, Verdict
from a2c.study.claims.coverage import ARMS, CLAIM, ENVS
from a2c.study.dead_end import CELLS
from a2c.study.exploring import WORLDS, Sampling, Spread, Training, prospects, sample
from a2c.study.record import as_stored

from .stubs import settings


@pytest.mark.parametrize("world", WORLDS)
def test_visits_are_counted_within_batches_and_in_all(world: str):
    found = sample(Sampling(world, (1, 4), size=20, batches=5, seed=0, effort=0.01))
    assert list(found) == ["1", "4"]
    for spread in found.values():
        assert 1 <= spread.batch_states <= spread.batch_covered <= 20
        assert 1 <= spread.all_states <= spread.all_covered <= 100
        assert spread.batch_covered <= spread.all_covered


def test_states_of_the_small_world_are_its_cells_but_the_one_where_nobody_acts():
    found = sample(Sampling("dead end", (16,), size=160, batches=30, seed=0, effort=1.0))
    assert found["16"].all_covered == len(CELLS) - 1


def test_the_grids_tell_starts_from_ends():
    start, fallen = np.zeros((1, 4), np.float32), np.array([[2.3, 2.0, 0.2, 2.5]], np.float32)
    assert WORLDS["CartPole"].cells(start) != WORLDS["CartPole"].cells(fallen)
    hanging, upright = np.array([[1, 0, 1, 0, 0, 0], [-1, 0, 1, 0, 0, 0]], np.float32)
    assert WORLDS["Acrobot"].cells(hanging) != WORLDS["Acrobot"].cells(upright)


def test_prospects_are_chances_and_depend_on_the_seed_alone():
    task = Training(num_envs=4, n_step=5, gae_lambda=0.95, steps=400, seed=3)
    prize, trap = prospects(task)
    assert 0 <= prize <= 1 - trap <= 1
    assert prospects(task) == (prize, trap)


def made_up(wider: float, stuck_alone: float, stuck_together: float, narrower: float = 1.0) -> Data:
    """Three seeds: 16 environments visit ``wider`` times the states, ``narrower`` times that in Acrobot; 40 runs."""

    def spread(states: float) -> dict[str, float]:
        return dict.fromkeys(Spread.__dataclass_fields__, states)

    def visits(world: str) -> list[Data]:
        gain = wider * (narrower if world == "Acrobot" else 1.0)
        return [{str(n): spread(base * (gain if n == 16 else 1.0)) for n in ENVS} for base in (10.0, 11.0, 13.0)]

    def ends(arm: str) -> list[list[float]]:
        stuck = round(40 * (stuck_together if arm.startswith("16") else stuck_alone))
        return [[0.0, 1.0]] * stuck + [[1.0, 0.0]] * (40 - stuck)

    return {"steps": 10_000, "visits": {world: visits(world) for world in WORLDS}, "ends": {a: ends(a) for a in ARMS}}


def with_gains(data: Data, worlds: list[str], gains: tuple[float, float, float]) -> Data:
    """The same, but with these gains of the three seeds in some worlds."""
    for world in worlds:
        for run, gain in zip(data["visits"][world], gains, strict=True):
            run["16"] = {quantity: gain * states for quantity, states in run["1"].items()}
    return data


def test_wider_everywhere_and_fewer_stuck_is_supported():
    assert CLAIM.judge(made_up(1.5, 0.8, 0.2)).verdict is Verdict.SUPPORTED


def test_wider_with_as_many_stuck_is_a_condition():
    judgement = CLAIM.judge(made_up(1.5, 0.5, 0.5))
    assert judgement.verdict is Verdict.CONDITIONAL
    assert "Fewer runs stuck with 16 × 5 than with 1 × 5: not clearly." in judgement.why


def test_a_world_where_it_is_narrower_is_named():
    judgement = CLAIM.judge(made_up(1.5, 0.8, 0.2, narrower=0.5))
    assert judgement.verdict is Verdict.CONDITIONAL
    assert "fewer, against the claim, in Acrobot" in judgement.why


def test_neither_wider_nor_fewer_stuck_is_not_supported():
    assert CLAIM.judge(made_up(1.0, 0.2, 0.2)).verdict is Verdict.NOT_SUPPORTED


def test_fewer_stuck_without_more_states_is_a_condition():
    assert CLAIM.judge(made_up(1.0, 0.8, 0.2)).verdict is Verdict.CONDITIONAL


def test_fewer_stuck_in_one_comparison_only_is_none():
    data = made_up(1.0, 0.8, 0.2)
    data["ends"]["1 × 5"] = data["ends"]["16 × 5"]
    assert CLAIM.judge(data).verdict is Verdict.NOT_SUPPORTED


def test_wider_in_a_minority_of_worlds_is_no_condition():
    data = with_gains(made_up(1.0, 0.2, 0.2), list(WORLDS)[: len(WORLDS) // 2], (1.5, 1.5, 1.5))
    assert CLAIM.judge(data).verdict is Verdict.NOT_SUPPORTED


def test_wider_in_most_worlds_is_a_condition():
    data = with_gains(made_up(1.0, 0.2, 0.2), list(WORLDS)[: len(WORLDS) // 2 + 1], (1.5, 1.5, 1.5))
    assert CLAIM.judge(data).verdict is Verdict.CONDITIONAL


def test_evidence_against_counts_more_than_evidence_for():
    assert CLAIM.judge(made_up(0.7, 0.8, 0.2)).verdict is Verdict.NOT_SUPPORTED  # fewer states, fewer stuck
    more_stuck = CLAIM.judge(made_up(1.5, 0.2, 0.8))  # more states, more stuck
    assert more_stuck.verdict is Verdict.NOT_SUPPORTED
    assert "Fewer runs stuck with 16 × 5 than with 1 × 5: no, more of them." in more_stuck.why


def test_gains_that_seeds_disagree_on_do_not_count():
    data = with_gains(made_up(1.0, 0.2, 0.2), list(WORLDS), (0.5, 1.5, 4.0))
    assert CLAIM.judge(data).verdict is Verdict.NOT_SUPPORTED


def test_an_interval_that_would_do_for_one_world_does_not_for_all_of_them():
    data = with_gains(made_up(1.0, 0.2, 0.2), list(WORLDS), (np.exp(0.71), np.exp(1.0), np.exp(1.29)))
    judgement = CLAIM.judge(data)
    assert all(number.low > 1.0 for number in judgement.numbers if "states visited" in number.name)
    assert judgement.verdict is Verdict.NOT_SUPPORTED


def test_who_wanders_about_is_not_stuck():
    data = made_up(1.5, 0.8, 0.2)
    data["ends"]["1 × 5"] = [[0.11, 0.62]] * 40  # a random policy
    numbers = {number.name: number.value for number in CLAIM.judge(data).numbers}
    assert numbers["share of runs stuck, 1 × 5"] == 0.0


def test_a_tiny_study_measures_judges_and_draws(tmp_path: Path):
    data = as_stored(CLAIM.measure(settings(tmp_path, scale=0.03)))
    assert CLAIM.judge(data).why
    assert len(CLAIM.draw(data).findobj(lambda artist: artist.__class__.__name__ == "Axes")) == 3
