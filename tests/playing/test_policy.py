"""A trained policy acts on single observations and batches, and a checkpoint holds all that it needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from a2c.envs.spaces import Spaces
from a2c.errors import CheckpointError, ConfigError
from a2c.network.actor_critic import ActorCritic
from a2c.network.flat_weights import flatten_parameters
from a2c.playing.loading import config_of, load_policy
from a2c.playing.policy import Policy
from a2c.storage.checkpoint import checkpoint_payload, load_checkpoint, save_checkpoint
from builders import IMAGE, TORQUE, VECTOR, config, make_model

SPECS = pytest.mark.parametrize("spaces", [VECTOR, TORQUE, IMAGE], ids=["discrete", "continuous", "image"])


def policy_of(spaces: Spaces, **settings: object) -> Policy:
    cfg = config(**settings)
    return Policy(make_model(spaces, cfg), cfg)


def observations(spaces: Spaces, count: int = 6) -> np.ndarray:
    draw = np.random.default_rng(0)
    if spaces.obs_dtype == "uint8":
        return draw.integers(0, 256, (count, *spaces.obs_shape), dtype=np.uint8)
    return draw.normal(size=(count, *spaces.obs_shape)).astype(np.float32)


# ---- acting ----


@SPECS
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_batch_gives_a_batch_and_one_observation_gives_one_action(spaces, deterministic):
    policy, obs = policy_of(spaces), observations(spaces)
    actions, action = policy.act(obs, deterministic), policy.act(obs[0], deterministic)
    expected = ((6,), ()) if spaces.discrete else ((6, 2), (2,))
    assert (actions.shape, action.shape) == expected
    assert actions.dtype == action.dtype == (np.int64 if spaces.discrete else np.float32)


@SPECS
def test_greedy_actions_are_the_mode_for_one_as_for_many(spaces):
    policy, obs = policy_of(spaces), observations(spaces)
    params = policy.model.policy(torch.from_numpy(obs)).detach()
    expected = params.argmax(-1).numpy() if spaces.discrete else np.clip(params[:, :2].numpy(), -1, 1)
    np.testing.assert_allclose(policy.act(obs), expected, atol=1e-6)
    np.testing.assert_allclose(np.stack([policy.act(row) for row in obs]), expected, atol=1e-6)
    np.testing.assert_array_equal(policy.act(obs), policy.act(obs))


def test_sampled_actions_follow_the_distribution():
    # chi-square with 2 degrees of freedom: above 13.8 once in a thousand
    policy, obs = policy_of(VECTOR), observations(VECTOR)[:1]
    probabilities = policy.model.policy(torch.from_numpy(obs)).softmax(-1)[0].detach().numpy()
    counts = np.bincount(policy.act(obs.repeat(20_000, 0), deterministic=False), minlength=3)
    assert ((counts - 20_000 * probabilities) ** 2 / (20_000 * probabilities)).sum() < 13.8


MEMORIES = pytest.mark.parametrize("kind", ["lstm", "gru"])


def remembering(kind: str, spaces: Spaces = VECTOR) -> Policy:
    return policy_of(spaces, network={"memory": kind, "memory_size": 6})


@MEMORIES
@SPECS
def test_a_memory_carries_from_step_to_step_until_an_episode_begins(kind, spaces):
    policy, obs = remembering(kind, spaces), observations(spaces, 4)
    for _ in range(2):
        state = policy.model.initial_memory(1)
        for row in obs:
            one = torch.from_numpy(row).unsqueeze(0)
            with torch.no_grad():
                np.testing.assert_allclose(policy.value(row), policy.model.value(one, state)[0], atol=1e-6)
                params, state = policy.model.policy(one, state)
                expected = policy.model.distribution.mode(params)[0].numpy()
            np.testing.assert_allclose(
                policy.act(row), expected if spaces.discrete else expected.clip(-1, 1), atol=1e-6
            )
        with torch.no_grad():
            fresh = policy.model.value(torch.from_numpy(obs[:1]), policy.model.initial_memory(1))[0]
        assert policy.value(obs[0]) != pytest.approx(float(fresh))  # it still remembers
        policy.reset()


@MEMORIES
def test_asking_for_a_value_leaves_the_memory_as_it_is(kind):
    policy, obs = remembering(kind), observations(VECTOR)
    policy.act(obs)
    np.testing.assert_array_equal(policy.value(obs), policy.value(obs))
    before = policy.value(obs)
    policy.act(obs)
    assert (policy.value(obs) != before).any()


@MEMORIES
def test_rows_of_a_batch_remember_apart_and_begin_apart(kind):
    policy, alone = remembering(kind), [remembering(kind) for _ in range(3)]
    obs = observations(VECTOR, 12).reshape(4, 3, 4)
    turns = [[0, 1, 2], [0, 1, 2], [2, 0], [1, 0, 2]]
    for now, turn in zip(obs, turns, strict=True):
        expected = [alone[row].value(now[k]) for k, row in enumerate(turn)]
        np.testing.assert_allclose(policy.value(now[: len(turn)], turn), expected, atol=1e-6)
        acted = [alone[row].act(now[k]) for k, row in enumerate(turn)]
        np.testing.assert_array_equal(policy.act(now[: len(turn)], rows=turn), acted)
        policy.reset([1])
        alone[1].reset()


def test_a_batch_of_another_size_is_another_memory():
    policy, obs = remembering("gru"), observations(VECTOR)
    policy.act(obs)
    with pytest.raises(ValueError, match=r"the memory is of 6 episodes, not 1; reset\(\) begins others"):
        policy.act(obs[0])
    with pytest.raises(ValueError, match="6 observations, but 2 rows of the memory"):
        policy.act(obs, rows=[0, 1])
    policy.reset()
    policy.act(obs[0])


def test_without_a_memory_a_reset_does_nothing_and_batches_may_differ():
    policy, obs = policy_of(VECTOR), observations(VECTOR)
    first = policy.act(obs)
    policy.reset()
    policy.reset([0])
    np.testing.assert_array_equal(policy.act(obs), first)
    np.testing.assert_array_equal(policy.act(obs[:2]), first[:2])


def test_samples_repeat_with_the_seed_and_differ_from_call_to_call():
    obs = observations(VECTOR, 200)
    first, second = policy_of(VECTOR, seed=4), policy_of(VECTOR, seed=4)
    draws = [first.act(obs, deterministic=False) for _ in range(2)]
    assert np.array_equal(draws[0], second.act(obs, deterministic=False))
    assert not np.array_equal(draws[0], draws[1])


def test_a_sample_is_finite_at_both_ends_of_the_uniform_numbers(monkeypatch):
    # no bounds that would hide an infinite action
    spaces = Spaces((4,), "float32", 2, discrete=False, low=(-np.inf, -np.inf), high=(np.inf, np.inf))
    policy, obs = policy_of(spaces), observations(spaces)
    for end in (0.0, 1.0):
        monkeypatch.setattr(torch, "rand", lambda *shape, end=end, **_: torch.full(shape, end))
        assert np.isfinite(policy.act(obs, deterministic=False)).all()


def test_discrete_actions_begin_at_the_start_of_their_space():
    plain, shifted = policy_of(VECTOR), policy_of(Spaces((4,), "float32", 3, discrete=True, start=10))
    obs = observations(VECTOR)
    assert np.array_equal(shifted.act(obs), plain.act(obs) + 10)
    assert shifted.act(obs[0]) == plain.act(obs[0]) + 10


def test_continuous_actions_stay_within_the_bounds():
    spaces = Spaces((4,), "float32", 2, discrete=False, low=(-0.1, 0.2), high=(0.1, 0.3))
    actions = policy_of(spaces).act(observations(spaces, 200), deterministic=False)
    assert actions.min(0).tolist() == pytest.approx([-0.1, 0.2])
    assert actions.max(0).tolist() == pytest.approx([0.1, 0.3])


@SPECS
def test_another_shape_is_refused(spaces):
    policy, obs = policy_of(spaces), observations(spaces)
    for wrong in (obs[..., :-1], obs[None], obs[0, 0], 3.0):
        for call in (policy.act, policy.value):
            with pytest.raises(ValueError, match=r"observation has shape .*; the policy takes"):
                call(wrong)


def test_whatever_numpy_can_read_will_do():
    policy, obs = policy_of(VECTOR), observations(VECTOR)
    expected = policy.act(obs)
    read_only = obs.copy()
    read_only.setflags(write=False)
    for same in (read_only, obs[::-1].copy()[::-1], obs.astype(np.float64), obs.tolist(), np.asfortranarray(obs)):
        assert np.array_equal(policy.act(same), expected)


def test_acting_changes_neither_the_observation_nor_the_weights():
    policy, obs = policy_of(VECTOR, normalize_obs=True), observations(VECTOR)
    before, state = obs.copy(), {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    policy.act(obs, deterministic=False)
    policy.value(obs)
    assert np.array_equal(obs, before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in policy.model.state_dict().items())


@SPECS
def test_value_is_the_critics(spaces):
    policy, obs = policy_of(spaces), observations(spaces)
    expected = policy.model.value(torch.from_numpy(obs)).detach().numpy()
    np.testing.assert_array_equal(policy.value(obs), expected)
    assert policy.value(obs[0]).shape == ()
    assert policy.value(obs[0]) == pytest.approx(expected[0], rel=1e-5)


# ---- from a checkpoint ----


def save_run(folder: Path, spaces: Spaces = VECTOR, **settings: object) -> ActorCritic:
    cfg = config(**settings)
    model = make_model(spaces, cfg)
    payload = checkpoint_payload(
        asdict(cfg), spaces.to_dict(), {"model": model.state_dict()}, state={"env_steps": 123}, collector={}
    )
    save_checkpoint(folder / "checkpoints" / "best.pt", payload)
    return model


@SPECS
@pytest.mark.parametrize("normalize_obs", [True, False])
def test_a_checkpoint_needs_nothing_else_to_act(tmp_path, spaces, normalize_obs):
    network = {"hidden_sizes": [16, 8], "activation": "elu"}
    model = save_run(tmp_path, spaces, normalize_obs=normalize_obs, network=network)
    policy, obs = load_policy(tmp_path), observations(spaces)
    flatten_parameters(model)  # as in training, and as load_policy does
    assert policy.model.spaces == spaces
    assert policy.cfg.network.hidden_sizes == [16, 8]
    assert policy.path == tmp_path / "checkpoints" / "best.pt"
    assert policy.env_steps == 123
    assert not policy.model.training
    assert torch.equal(torch.from_numpy(policy.value(obs)), model.value(torch.from_numpy(obs)).detach())


def test_settings_come_back_as_they_were(tmp_path):
    save_run(tmp_path, gamma=0.5, max_grad_norm=None, name="mine")
    cfg = load_policy(tmp_path).cfg
    assert cfg == config(gamma=0.5, max_grad_norm=None, name="mine")
    assert asdict(cfg)["env"]["id"] == "CartPole-v1"


def test_latest_is_looked_up_where_runs_are(tmp_path):
    save_run(tmp_path / "env" / "1_run")
    (tmp_path / "latest").symlink_to("env/1_run")
    assert load_policy(runs_dir=tmp_path).env_steps == 123


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device=cuda"):
        load_policy(tmp_path / "nothing", device="cuda")


def test_settings_of_another_version_are_a_checkpoint_error(tmp_path):
    save_run(tmp_path)
    path = tmp_path / "checkpoints" / "best.pt"
    payload = load_checkpoint(path)
    payload["config"]["momentum"] = 0.9
    with pytest.raises(CheckpointError, match=r"best\.pt was saved by another version of a2c: .*momentum"):
        config_of(payload, path)
