"""Running statistics equal those of all data at once; only valid rows count; rewards keep their mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from a2c.collecting.reward_normalizer import RewardNormalizer
from a2c.network.obs_normalizer import ObsNormalizer, as_float


def rows(seed: int, count: int, *, mean: float = 5.0, std: float = 3.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 3, generator=draw) * std + mean  # [T, N, obs] with N = 2, obs = 3


# ---- observations ----


def test_before_any_data_observations_pass_unchanged():
    obs = rows(0, 4)
    assert_close(ObsNormalizer((3,), clip=100.0)(obs), obs)


def test_moments_and_scale_by_hand():
    normalizer = ObsNormalizer((1,))
    normalizer.update(torch.tensor([[[1.0]], [[3.0]]]))
    normalizer.update(torch.tensor([[[5.0]], [[7.0]]]))
    # 1 3 5 7: mean 4, squared distances 9 1 1 9, variance 5
    assert normalizer.mean.item() == 4
    assert normalizer.var.item() == pytest.approx(5)
    assert normalizer.count.item() == 4
    # (6 - 4)/sqrt 5 = 0.894427; (400 - 4)/sqrt 5 is clipped to 10
    assert_close(normalizer(torch.tensor([[6.0], [400.0]])), torch.tensor([[0.894427], [10.0]]))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 2**31), st.floats(-100, 100))
def test_merged_moments_equal_those_of_all_rows_at_once(sizes, seed, mean):
    normalizer = ObsNormalizer((3,)).double()
    parts = [rows(seed + i, size, mean=mean).double() for i, size in enumerate(sizes)]
    for part in parts:
        normalizer.update(part)
    everything = torch.cat(parts).flatten(0, 1).numpy()
    assert_close(normalizer.mean.numpy(), everything.mean(0), rtol=1e-10, atol=1e-10)
    assert_close(normalizer.var.numpy(), everything.var(0), rtol=1e-10, atol=1e-10)
    assert normalizer.count.item() == len(everything)


@pytest.mark.parametrize(("mean", "std"), [(1000.0, 0.5), (1e7, 30.0), (-1e-6, 1e-8)])
def test_thousands_of_merges_keep_their_precision(mean, std):
    # Far from zero and tightly spread: the case that E[x^2] - E[x]^2 loses altogether
    normalizer = ObsNormalizer((3,))
    parts = [rows(i, 5, mean=mean, std=std) for i in range(3000)]
    for part in parts:
        normalizer.update(part)
    everything = torch.cat(parts).flatten(0, 1).double().numpy()
    assert_close(normalizer.mean.numpy(), everything.mean(0), rtol=1e-13, atol=0)
    assert_close(normalizer.var.numpy(), everything.var(0), rtol=1e-9, atol=0)


@pytest.mark.parametrize("number", [1234567.1, 0.1, -3e30, 7.0])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_column_that_never_changes_is_zero_exactly(number, gaps):
    normalizer, constant = ObsNormalizer((3,)), torch.full((3,), number)
    weight = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) if gaps else None
    for count in (3, 3, 3, 3, 3):
        normalizer.update(constant.expand(count, 2, 3), weight)
        assert torch.equal(normalizer(constant), torch.zeros(3))
    assert torch.equal(normalizer.var, torch.zeros(3, dtype=torch.float64))


def test_a_column_far_from_zero_keeps_all_that_float32_shows_of_it():
    """At 1234567 float32 has steps of 0.125; a mean in float32 is off by as many, and the column became +-10."""
    normalizer = ObsNormalizer((2,))
    draw = torch.Generator().manual_seed(0)
    parts = [torch.randn(5, 8, 2, generator=draw) * torch.tensor([0.5, 2.0]) + 1234567.1 for _ in range(400)]
    for part in parts:
        normalizer.update(part)
    seen = torch.cat(parts).flatten(0, 1)
    exact = (seen.double() - seen.double().mean(0)) / seen.double().std(0, correction=0)
    assert_close(normalizer(seen).double(), exact, rtol=1e-5, atol=1e-5)
    assert normalizer(seen).mean(0).abs().max() < 1e-5


def test_cartpole_beside_such_a_column_is_normalised_as_alone():
    import gymnasium

    env = gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
    obs, _ = env.reset(seed=1)
    env.action_space.seed(1)
    alone, beside = ObsNormalizer((4,)), ObsNormalizer((5,))
    for _ in range(300):
        wide = np.concatenate([obs, np.full((4, 1), 1234567.1, np.float32)], axis=1)
        alone.update(torch.from_numpy(obs)[None])
        beside.update(torch.from_numpy(wide)[None])
        assert torch.equal(beside(torch.from_numpy(wide))[:, :4], alone(torch.from_numpy(obs)))
        assert torch.equal(beside(torch.from_numpy(wide))[:, 4], torch.zeros(4))
        obs, *_ = env.step(env.action_space.sample())
    env.close()


def test_statistics_stay_float64_wherever_the_network_goes():
    normalizer = ObsNormalizer((3,))
    normalizer.update(rows(0, 5, mean=1234567.1))
    exact = {name: one.clone() for name, one in normalizer.state_dict().items()}
    for moved in (normalizer.to(torch.float32), normalizer.to(torch.bfloat16).to(torch.float32)):
        assert all(torch.equal(one, exact[name]) for name, one in moved.state_dict().items())
    assert normalizer.double()(rows(0, 1).double()).dtype == torch.float64


def test_statistics_of_a_checkpoint_of_before_in_float32_go_on():
    fresh, known = ObsNormalizer((3,)), ObsNormalizer((3,))
    known.update(rows(0, 50))
    old = {name: known.state_dict()[name].float() for name in ("mean", "var", "count")}
    fresh.load_state_dict(old)
    obs = rows(1, 10)
    assert_close(fresh(obs), known(obs), rtol=1e-5, atol=1e-5)
    fresh.update(obs)
    assert fresh.mean.dtype == torch.float64
    assert fresh.count.item() == 120


def test_what_forward_reads_stays_where_it_is():
    """A CUDA graph reads it there."""
    normalizer = ObsNormalizer((3,))
    places = {name: one.data_ptr() for name, one in normalizer.named_buffers()}
    normalizer.update(rows(0, 5))
    normalizer.load_state_dict(ObsNormalizer((3,)).state_dict())
    assert {name: one.data_ptr() for name, one in normalizer.named_buffers()} == places


def test_rows_of_weight_zero_are_ignored():
    obs = rows(1, 4)
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    valid = obs[weight > 0].unsqueeze(1)
    masked, dropped = ObsNormalizer((3,)), ObsNormalizer((3,))
    for part in (1.0, 2.0):  # merged into nothing, and into something
        masked.update(torch.where(weight[..., None] > 0, obs * part, torch.nan), weight)
        dropped.update(valid * part)
    assert_close(masked.mean, dropped.mean, rtol=1e-6, atol=0)
    assert_close(masked.var, dropped.var, rtol=1e-6, atol=0)
    assert masked.count.item() == 8


@pytest.mark.parametrize("fresh", [True, False])
def test_a_rollout_without_valid_rows_changes_nothing(fresh):
    normalizer = ObsNormalizer((3,))
    if not fresh:
        normalizer.update(rows(1, 4))
    before = {name: buffer.clone() for name, buffer in normalizer.state_dict().items()}
    normalizer.update(rows(2, 4), torch.zeros(4, 2))
    assert all(torch.equal(buffer, before[name]) for name, buffer in normalizer.state_dict().items())


def test_normalising_updates_nothing():
    normalizer = ObsNormalizer((3,))
    before = {name: buffer.clone() for name, buffer in normalizer.state_dict().items()}
    normalizer.train()(rows(1, 4))
    assert all(torch.equal(buffer, before[name]) for name, buffer in normalizer.state_dict().items())


def test_observations_come_out_with_mean_zero_and_deviation_one():
    normalizer, obs = ObsNormalizer((3,)), rows(1, 500)
    normalizer.update(obs)
    out = normalizer(obs).flatten(0, 1)
    assert out.mean(0).abs().max() < 1e-5
    assert (out.std(0, correction=0) - 1).abs().max() < 1e-5


def test_a_constant_observation_stays_finite():
    normalizer = ObsNormalizer((3,))
    normalizer.update(torch.full((4, 2, 3), 7.0))
    assert torch.equal(normalizer(torch.full((2, 3), 7.0)), torch.zeros(2, 3))
    assert normalizer(torch.full((2, 3), 8.0)).isfinite().all()


def test_bytes_are_counted_as_the_network_sees_them():
    images = torch.randint(0, 256, (4, 2, 1, 5, 5), dtype=torch.uint8)
    normalizer, scaled = ObsNormalizer((1, 5, 5)), ObsNormalizer((1, 5, 5))
    normalizer.update(images)
    scaled.update(images.float() / 255)
    assert torch.equal(normalizer.mean, scaled.mean)
    assert torch.equal(normalizer.var, scaled.var)
    assert as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0.0, 0.2, 1.0])


# ---- rewards ----


def naive_scaled(rewards: np.ndarray, done: np.ndarray, gamma: float, rollout: int) -> np.ndarray:
    """Divide each rollout by the spread of every discounted running return seen so far, its own included."""
    running, seen, scaled = np.zeros(rewards.shape[1]), [], []
    for start in range(0, len(rewards), rollout):
        part = slice(start, start + rollout)
        for reward, ended in zip(rewards[part], done[part], strict=True):
            running = gamma * running + reward
            seen.extend(running)
            running = np.where(ended, 0.0, running)
        scaled.append(rewards[part] / np.sqrt(np.var(seen) + 1e-8))
    return np.clip(np.concatenate(scaled), -10, 10)


@given(st.integers(1, 5), st.integers(1, 6), st.floats(0, 1), st.integers(0, 2**31))
def test_rewards_are_scaled_as_the_recursion_says(count, rollout, gamma, seed):
    draw = np.random.default_rng(seed)
    rewards, done = draw.normal(2.0, 3.0, (4 * rollout, count)), draw.random((4 * rollout, count)) < 0.2
    normalizer, valid = RewardNormalizer(count, gamma), np.ones((rollout, count), bool)
    found = [
        normalizer(rewards[start : start + rollout], done[start : start + rollout], valid)
        for start in range(0, len(rewards), rollout)
    ]
    np.testing.assert_allclose(np.concatenate(found), naive_scaled(rewards, done, gamma, rollout), rtol=1e-5, atol=1e-7)


def test_the_running_return_by_hand():
    normalizer = RewardNormalizer(1, gamma=0.5)
    # ret: 1; 0.5*1 + 2 = 2.5, ends -> 0; 4. Mean 2.5, variance (2.25 + 0 + 2.25)/3 = 1.5; r / sqrt 1.5
    rewards, done, valid = np.array([[1.0], [2.0], [4.0]]), np.array([[False], [True], [False]]), np.ones((3, 1), bool)
    found = normalizer(rewards, done, valid)
    assert normalizer.var == pytest.approx(1.5)
    assert normalizer.running.tolist() == [4.0]
    np.testing.assert_allclose(found, rewards / np.sqrt(1.5), rtol=1e-6)


def test_the_mean_is_never_subtracted():
    draw = np.random.default_rng(0)
    rewards = draw.normal(5.0, 0.1, (50, 4))
    scaled = RewardNormalizer(4, gamma=0.9)(rewards, np.zeros((50, 4), bool), np.ones((50, 4), bool))
    ratio = scaled / rewards
    assert (scaled > 0).all()
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)  # one divisor for all


def test_scaled_rewards_are_float32_within_ten():
    rewards = np.array([[1e9], [1e9], [-1e9]]).repeat(50, axis=1)  # spread over one environment in 50 only
    rewards[:, 1:] = 0.0
    found = RewardNormalizer(50, gamma=0.0)(rewards, np.zeros((3, 50), bool), np.ones((3, 50), bool))
    # standard deviation 1e9 * sqrt(3/150 - (1/150)^2) = 1.41e8: 7.08 of them; a constant has none: clipped
    np.testing.assert_allclose(found[:, 0], [7.0789, 7.0789, -7.0789], rtol=1e-3)
    constant = RewardNormalizer(1, gamma=0.0)(np.full((3, 1), -1e9), np.zeros((3, 1), bool), np.ones((3, 1), bool))
    assert constant.tolist() == [[-10.0]] * 3
    assert found.dtype == constant.dtype == np.float32


def test_rows_that_are_not_valid_change_nothing():
    # Environment 1 resets at t=1: as if the row were not there, whatever it says.
    draw = np.random.default_rng(1)
    rewards, done = draw.normal(size=(5, 1)), np.array([[False], [True], [False], [False], [True]])
    plain = RewardNormalizer(1, gamma=0.9)
    plain(rewards, done, np.ones((5, 1), bool))
    gap = RewardNormalizer(1, gamma=0.9)
    valid = np.array([[True], [False], [True], [True], [False], [True], [True]])
    with_gaps, ends = np.full((7, 1), 1e6), np.ones((7, 1), bool)
    with_gaps[valid[:, 0]], ends[valid[:, 0]] = rewards, done
    scaled = gap(with_gaps, ends, valid)
    assert (gap.mean, gap.var, gap.count) == (plain.mean, plain.var, plain.count)
    assert gap.running.tolist() == plain.running.tolist()
    np.testing.assert_allclose(scaled[valid], (rewards / np.sqrt(plain.var + 1e-8))[:, 0], rtol=1e-6)


def test_a_rollout_without_valid_rows_keeps_the_reward_statistics():
    normalizer = RewardNormalizer(2, gamma=0.9)
    normalizer(np.ones((3, 2)), np.ones((3, 2), bool), np.zeros((3, 2), bool))
    assert (normalizer.mean, normalizer.var, normalizer.count) == (0.0, 1.0, 0.0)


def test_environments_keep_returns_of_their_own():
    normalizer = RewardNormalizer(2, gamma=1.0)
    normalizer(np.array([[1.0, 10.0], [1.0, 10.0]]), np.array([[False, True], [False, False]]), np.ones((2, 2), bool))
    assert normalizer.running.tolist() == [2.0, 10.0]


def test_statistics_survive_a_checkpoint_but_for_episodes_that_begin_anew():
    draw = np.random.default_rng(2)
    normalizer, valid, done = RewardNormalizer(3, 0.9), np.ones((6, 3), bool), np.zeros((6, 3), bool)
    normalizer(draw.normal(size=(6, 3)), done, valid)
    restored = RewardNormalizer(3, 0.9)
    restored.load_state_dict(normalizer.state_dict(), [1])
    normalizer.running[1] = 0  # this one could not go on in the resumed run
    rewards = draw.normal(size=(6, 3))
    assert np.array_equal(restored(rewards, done, valid), normalizer(rewards, done, valid))
