"""Which runs end early: as W&B's own ``hyperband_stop_runs`` has it."""

from __future__ import annotations

import pytest

from a2c.sweeps.halving import Halving, halving_of, is_behind


def test_bands_count_up_from_the_first_and_down_from_the_last():
    first = halving_of({"type": "hyperband", "min_iter": 3, "eta": 2})
    assert first is not None
    assert first.bands[:4] == (3, 6, 12, 24)
    assert first.strict  # as W&B's schema has it
    # 27/3 = 9, 27/9 = 3
    assert halving_of({"type": "hyperband", "max_iter": 27, "s": 2}) == Halving((3, 9), 3)
    # 10/3 = 3.33, 10/9 = 1.11, and 10/27 is less than 1
    assert halving_of({"type": "hyperband", "max_iter": 10, "s": 5}) == Halving((1, 3), 3)
    # 4 * 1.5 = 6, 9, 13.5
    halves = halving_of({"type": "hyperband", "min_iter": 4, "eta": 1.5})
    assert halves is not None
    assert halves.bands[:4] == (4, 6, 9, 13)
    assert halving_of(None) is None


# The example in the docstring of W&B's function: max_iter 5, eta 2, s 2, so bands at 5/4 = 1 and 5/2 = 2.
RUNS = {"a": [10, 9], "b": [10, 10], "c": [10, 8, 8], "d": [10, 7, 7], "e": [10, 6, 6]}


@pytest.mark.parametrize("sign", [1, -1])
def test_the_example_of_wandb(sign: int):
    halving = halving_of({"type": "hyperband", "max_iter": 5, "eta": 2, "s": 2})
    assert halving is not None
    scores = {name: [sign * score for score in history] for name, history in RUNS.items()}
    behind = [
        name
        for name, history in scores.items()
        if is_behind(history, list(scores.values()), halving, maximize=sign < 0)
    ]
    # At band 2 there are 10, 9, 8, 7, 6; sorted from the best, the threshold is number int(5 / 2) = 2, an 8.
    assert behind == ["a", "b"]


def test_until_the_first_band_nobody_is_behind():
    halving = Halving((3, 6), 2)
    assert not is_behind([1, 2], [[1, 2], [50, 60, 70]], halving, maximize=True)
    # At band 3: 70 and 3, sorted from the best; number int(2 / 2) = 1 is the 3 itself.
    assert not is_behind([1, 2, 3], [[1, 2, 3], [50, 60, 70]], halving, maximize=True)
    # With a third: number int(3 / 2) = 1 is 60.
    assert is_behind([1, 2, 3], [[1, 2, 3], [50, 60, 70], [9, 9, 60]], halving, maximize=True)


def test_strict_looks_at_the_band_and_otherwise_at_the_best_so_far():
    others = [[100, 10], [0, 50], [0, 60]]  # at band 2: 60, 50, 10; number int(3 / 2) = 1 is 50
    assert is_behind([100, 10], others, Halving((2,), 2), maximize=True)
    assert not is_behind([100, 10], others, Halving((2,), 2, strict=False), maximize=True)
