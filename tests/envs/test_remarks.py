"""What training assumes of an environment that is not plain, it says once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from a2c.envs.batch_checks import LOOKS, SELDOM, BatchChecks
from a2c.envs.remarks import Remarks
from a2c.errors import NumericError

SPACE = Box(np.array([-1, -np.inf], np.float32), np.array([1, np.inf], np.float32))


def checked(huge: float = 1000.0) -> tuple[BatchChecks, list[str]]:
    said: list[str] = []
    remarks = Remarks(huge)
    remarks.tell = said.append
    return BatchChecks(2, SPACE, 4, remarks), said


def obs(*rows: Any) -> np.ndarray:
    return np.array(rows, np.float32)


def test_an_observation_out_of_bounds_is_named_once() -> None:
    checks, said = checked()
    checks.observations(obs((1, 5), (-1, -5)), 7)
    assert said == []
    checks.observations(obs((1, 5), (3, 5)), 8)
    checks.observations(obs((9, 5), (3, 5)), 9)
    (line,) = said
    assert line.startswith("environment 5 gave an observation with the number 3 in step 8, outside its bounds [-1, 1]")


def test_a_huge_number_of_no_bounds_is_named_and_bounds_are_looked_at_still() -> None:
    checks, said = checked()
    checks.observations(obs((0, 1e6), (0, 0)), 1)
    checks.observations(obs((0, 1e6), (0, 1e7)), 2)
    checks.observations(obs((0, 0), (2, 1e7)), 3)
    assert ["1e+06 in step 1" in said[0], "normalize_obs=true" in said[0], "number 2 in step 3" in said[1]] == [
        True
    ] * 3
    assert len(said) == 2


def test_after_many_steps_bounds_are_looked_at_seldom() -> None:
    checks, said = checked()
    checks.observations(obs((9, 5), (3, 5)), LOOKS + SELDOM - LOOKS % SELDOM + 1)
    assert said == []
    checks.observations(obs((9, 5), (3, 5)), LOOKS + SELDOM - LOOKS % SELDOM)
    assert len(said) == 1


def test_normalised_observations_may_be_huge() -> None:
    checks, said = checked(math.inf)
    checks.observations(obs((0, 1e30), (0, -1e30)), 1)
    assert said == []


@pytest.mark.parametrize("before", [(), (3.0, 1e6)], ids=["at first", "after remarks"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_a_number_that_is_not_finite_is_an_error_whatever_the_bounds(before: Any, bad: float, place: int) -> None:
    checks, _ = checked()
    for number in before:
        checks.observations(obs((number, number), (0, 0)), 1)
    rows = obs((0, 0), (0, 0))
    rows[1, place] = bad
    with pytest.raises(NumericError, match=r"environment 5 gave the observation .* in step 2"):
        checks.observations(rows, 2)


def test_masks_and_odd_images_are_remarked_upon() -> None:
    remarks, said = Remarks(), []
    remarks.tell = said.append
    remarks.infos({"action_mask": 1, "lives": 3})
    remarks.infos({"legal_actions": 1})
    remarks.image((4, 84, 84), stacked=False)
    remarks.image((8, 84, 84), stacked=True)
    remarks.image((6, 48, 48), stacked=False)
    assert said == [
        "infos offer 'action_mask', which is not used: all actions are taken to be legal",
        "observations are taken as images of 6 channels, 48 x 48 pixels",
    ]
