"""Atari: standard preprocessing, the same through our vector environments and ale-py's own."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

pytest.importorskip("ale_py")
pytest.importorskip("cv2")

from a2c.envs.choosing.choose import Plan
from a2c.envs.frames import Frames
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.make_vector_env import newest_frames
from a2c.envs.seeding import TRAIN, env_seeds
from a2c.envs.single.make_env import make_env
from a2c.errors import ConfigError
from envs.configs import env_config, planned, vector_config

PONG, BREAKOUT = "ALE/Pong-v5", "ALE/Breakout-v5"


def lockstep(
    env_id: str, vectorization: str, num_envs: int = 2, *, life_loss: bool = False, **settings
) -> LockstepEnvs:
    cfg = vector_config(env_config(env_id, **settings), vectorization, num_envs, num_workers=1)
    return LockstepEnvs(planned(cfg), life_loss=life_loss)


def test_four_grey_frames_channel_first():
    env = make_env(env_config(PONG))
    assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert env.action_space == spaces.Discrete(6)
    first, info = env.reset(seed=1)
    assert info == {}
    second = env.step(2)[0]
    np.testing.assert_array_equal(second[:3], first[1:])  # the newest frame is last
    assert not np.array_equal(second[3], first[3])


@pytest.mark.parametrize("game", [PONG, BREAKOUT, "ALE/Freeway-v5"])
def test_the_frames_are_those_of_gymnasiums_wrappers(game):
    """On the emulator's screens, by Gymnasium's preprocessing and frame stack: every byte, also after a reset."""
    atari = {"fire_reset": False}
    env = make_env(env_config(game, atari=atari))
    plain = gym.make(game, frameskip=1, repeat_action_probability=0.0, obs_type="grayscale", max_episode_steps=-1)
    plain = FrameStackObservation(AtariPreprocessing(plain, noop_max=30, frame_skip=4, screen_size=84), 4)
    rng = np.random.default_rng(0)
    for seed in (1, 2):
        np.testing.assert_array_equal(env.reset(seed=seed)[0], plain.reset(seed=seed)[0])
        for _ in range(300):
            action = rng.integers(env.action_space.n)
            ours, theirs = env.step(action), plain.step(action)
            np.testing.assert_array_equal(ours[0], theirs[0])
            assert ours[1:4] == theirs[1:4]
            if ours[2]:
                break


def test_an_observation_is_the_callers():
    env = make_env(env_config(PONG))
    first, _ = env.reset(seed=1)
    kept = first.copy()
    second = env.step(2)[0]
    env.step(2)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second[:3], first[1:])


@pytest.mark.parametrize("vectorization", ["sync", "workers", "async", "native"])
def test_training_stacks_what_games_without_a_stack_give(vectorization):
    env, frames = newest_frames(env_config(BREAKOUT, atari={"frame_skip": 3}), Plan(vectorization, None, ""))
    assert env == env_config(BREAKOUT, atari={"frame_skip": 3, "frame_stack": 1})
    assert frames == Frames(4, repeated=vectorization != "native")


@pytest.mark.parametrize(
    "env",
    [
        env_config("CartPole-v1"),
        env_config(PONG, atari={"frame_stack": 1}),
        env_config(BREAKOUT, life_loss_info=True),  # ale-py then ends an episode without a reset
    ],
    ids=["no game", "no stack", "no reset"],
)
def test_what_cannot_be_stacked_from_single_frames_comes_whole(env):
    assert newest_frames(env, Plan("native", None, "")) == (env, None)


def test_the_settings_shape_the_observation():
    env = make_env(env_config(PONG, atari={"frame_stack": 2, "screen_size": 40}))
    assert env.reset(seed=1)[0].shape == (2, 40, 40)


def test_a_step_is_frame_skip_emulator_frames():
    env = make_env(env_config(PONG, atari={"frame_skip": 3}))
    env.reset(seed=1)
    ale = env.unwrapped.ale  # type: ignore[attr-defined]
    before = ale.getEpisodeFrameNumber()
    env.step(0)
    assert ale.getEpisodeFrameNumber() - before == 3


def test_a_reset_plays_a_random_number_of_noops():
    env = make_env(env_config(PONG, atari={"fire_reset": False, "noop_max": 9}))
    ale = env.unwrapped.ale  # type: ignore[attr-defined]
    frames = {(env.reset(seed=seed), ale.getEpisodeFrameNumber())[1] for seed in range(12)}
    assert frames <= set(range(1, 10))
    assert len(frames) >= 4


def test_fire_is_pressed_after_a_reset_and_only_then_the_ball_flies():
    """Breakout waits for FIRE: without it nothing but the paddle ever changes."""
    moved = {}
    for fire in (True, False):
        env = make_env(env_config(BREAKOUT, atari={"fire_reset": fire, "noop_max": 0}))
        obs, _ = env.reset(seed=1)
        for _ in range(10):
            obs = env.step(0)[0]
        moved[fire] = bool((obs[-1] != obs[0]).any())
    assert moved == {True: True, False: False}


def test_sticky_actions_come_from_the_settings_and_not_from_the_id():
    """v5 ids register 0.25; the preset's 0 must win: two emulators with different seeds then play the same game."""
    frames = []
    for seed in (1, 2):
        env = make_env(env_config(PONG, atari={"noop_max": 0}))
        env.reset(seed=seed)
        for action in [2, 3, 2, 0, 3] * 12:
            obs = env.step(action)[0]
        frames.append(obs)
    np.testing.assert_array_equal(*frames)


@pytest.mark.parametrize("key", ["frameskip", "repeat_action_probability", "obs_type", "max_num_frames_per_episode"])
@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_what_the_preprocessing_sets_is_not_set_twice(key, vectorization):
    with pytest.raises(ConfigError, match=f"env.kwargs.{key} is set elsewhere"):
        planned(vector_config(env_config(PONG, **{key: 1}), vectorization))


@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_keywords_of_the_game_pass(vectorization):
    envs = lockstep(PONG, vectorization, full_action_space=True)
    assert envs.action_space == spaces.Discrete(18)
    envs.close()


@pytest.mark.parametrize("vectorization", ["sync", "workers alone", "workers and this process", "native"])
def test_the_time_limit_counts_agent_steps_and_gives_the_true_final_observation(vectorization):
    envs = lockstep(PONG, vectorization, max_episode_steps=5)
    obs = envs.reset([1, 2]).copy()
    for k in range(1, 11):
        step = envs.step(np.full(2, 2))
        assert step.truncated.tolist() == [k % 5 == 0] * 2
        if k % 5 == 0:
            assert step.final_rows.tolist() == [0, 1]
            for i in range(2):
                np.testing.assert_array_equal(step.final_obs[i][:3], obs[i][1:])  # it continues the old episode
                assert not np.array_equal(step.obs[i][:3], obs[i][1:])  # obs is the new one
        obs = step.obs.copy()
    assert [(e.env, e.length) for e in envs.drain_episodes()] == [(0, 5), (1, 5)] * 2
    envs.close()


@pytest.mark.parametrize("vectorization", ["sync", "workers alone", "workers and this process", "native"])
def test_a_lost_life_cuts_the_return_and_not_the_game(vectorization):
    """Breakout, never moving: five lives, so four cuts and then one true end."""
    envs = lockstep(BREAKOUT, vectorization, 1, life_loss=True)
    envs.reset([3])
    cuts, episodes = 0, []
    for _ in range(2000):
        step = envs.step(np.array([1]))  # FIRE also serves the next ball
        episodes = envs.drain_episodes()
        cuts += int(step.terminated[0])
        if episodes:
            break
    assert len(episodes) == 1
    assert step.terminated[0]
    assert cuts == 5
    envs.close()


def test_without_life_loss_only_the_game_ends():
    envs = lockstep(BREAKOUT, "sync", 1)
    envs.reset([3])
    cuts = 0
    while not envs.drain_episodes():
        cuts += int(envs.step(np.array([1])).terminated[0])
    assert cuts == 1
    envs.close()


def test_native_takes_one_seed_per_environment():
    def frames(seeds: list[int]) -> np.ndarray:
        envs = lockstep(PONG, "native", 2, atari={"fire_reset": False})
        out = envs.reset(seeds).copy()
        for _ in range(5):
            out = envs.step(np.zeros(2, np.int64)).obs.copy()
        envs.close()
        return out

    one = frames([7, 11])
    np.testing.assert_array_equal(one, frames([7, 11]))
    np.testing.assert_array_equal(one, frames([11, 7])[::-1])  # the seed is the environment's, not its place's


def test_native_and_ours_show_the_same_world():
    """Not the same bytes (no-ops and area averages differ), but the same space, actions, rewards and look."""
    seen = {}
    for vectorization in ("sync", "native"):
        envs = lockstep(PONG, vectorization, 4)
        assert envs.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
        assert envs.action_space == spaces.Discrete(6)
        obs = envs.reset(env_seeds(0, TRAIN, 4))
        rng = np.random.default_rng(0)
        frames, rewards = [], []
        for _ in range(150):
            step = envs.step(rng.integers(0, 6, 4))
            frames.append(step.obs[:, -1].copy())
            rewards.append(step.rewards)
        seen[vectorization] = np.stack(frames), np.stack(rewards)
        assert obs.dtype == np.uint8
        envs.close()
    (ours, our_rewards), (native, native_rewards) = seen["sync"], seen["native"]
    assert set(np.unique(our_rewards)) <= {-1.0, 0.0, 1.0}
    assert our_rewards.sum() < -4  # a random player loses points at about the same rate
    assert native_rewards.sum() < -4
    assert ours.min() == native.min()
    assert abs(int(ours.max()) - int(native.max())) <= 10
    assert abs(ours.mean() - native.mean()) < 1.0
    # the picture: field, borders and score lie in the same places
    assert np.abs(ours.mean(axis=(0, 1)) - native.mean(axis=(0, 1))).mean() < 2.0
