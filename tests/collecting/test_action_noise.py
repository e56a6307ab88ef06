"""Noise for actions is a function of (seed, update, t, environment), however much is drawn at once and held."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from a2c.collecting.action_noise import ActionNoise
from a2c.maths.distributions import GSDE, Categorical, DiagonalGaussian
from a2c.maths.noise import uniform_noise

SEED, T, N, FIRST = (3 << 32) + 5, 5, 4, 6
CPU = torch.device("cpu")


def expected(distribution, update: int, hold: int) -> Tensor:
    """Step by step, from the noise of whole rollouts."""
    kept = []
    for step in range(update * T, (update + 1) * T):
        begun, t = divmod(step // hold * hold, T)
        rollout = uniform_noise(SEED, range(begun, begun + 1), T, range(FIRST, FIRST + N), distribution.noise_size)
        kept.append(distribution.noise(rollout[0, t]))
    return torch.stack(kept)


@pytest.mark.parametrize("distribution", [Categorical(3), DiagonalGaussian(2), GSDE(3, 3)], ids=str)
@pytest.mark.parametrize("hold", [1, 2, 3, T, 2 * T, 13, 1000])
@pytest.mark.parametrize("elements", [1, 300, 1 << 14])
def test_the_noise_of_a_step_is_that_of_the_last_step_that_drew(distribution, hold, elements):
    noise = ActionNoise(distribution, SEED, T, N, CPU, first=FIRST, elements=elements, hold=hold)
    for update in (0, 1, 2, 3, 17, 4, 200):
        assert torch.equal(noise.of(update), expected(distribution, update, hold))


def test_noise_that_is_held_spans_rollouts():
    # T = 5, hold = 4: steps 0-3, 4-7, 8-11, ... of the run
    noise = ActionNoise(GSDE(1, 2), SEED, T, N, CPU, first=FIRST, hold=4)
    steps = torch.cat([noise.of(update) for update in range(4)])
    runs = [int((steps == steps[begin]).flatten(1).all(-1).sum()) for begin in range(0, 20, 4)]
    assert runs == [4] * 5
    assert all(torch.equal(steps[begin], steps[begin + k]) for begin in range(0, 20, 4) for k in range(4))


class Counting(DiagonalGaussian):
    """A Gaussian that counts the numbers that its noise was made of."""

    drawn = 0

    def noise(self, uniform: Tensor) -> Tensor:
        type(self).drawn += uniform.numel()
        return super().noise(uniform)


@pytest.mark.parametrize(("hold", "steps"), [(1, 5), (2, 3), (5, 1), (7, 1), (100, 1)])
def test_nothing_is_drawn_that_nobody_uses(hold, steps, monkeypatch):
    # an update of 5 steps at a time, the first: steps 0, 2, 4 draw if held for 2
    monkeypatch.setattr(Counting, "drawn", 0)
    noise = ActionNoise(Counting(1), SEED, T, N, CPU, elements=T * N * 2 // hold, hold=hold)
    noise.of(0)
    assert Counting.drawn == steps * N * 2
