"""From settings to environments: what is accepted, what is refused and how, and that backends agree."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.seeding import TRAIN, env_seeds
from a2c.envs.single.make_env import make_env, reward_threshold
from a2c.envs.single.mujoco_log import log_warnings
from a2c.envs.spaces import check_spaces
from a2c.errors import ConfigError, EnvironmentFailure
from envs.configs import OURS, env_config, planned, toy, vector_config

# ---- ids ----


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("CartPol-v1", "did you mean 'CartPole-v1'?"),
        ("cartpole-v1", "did you mean 'CartPole-v1'?"),
        ("CartPole", "did you mean 'CartPole-v1'?"),
        ("LunarLander-v2", "did you mean 'LunarLander-v3'?"),
        ("Pong-v5", "did you mean 'ALE/Pong-v5'?"),
        ("ALE/pong-v5", "did you mean 'ALE/Pong-v5'?"),
        ("BreakoutNoFrameskip-v4", "did you mean 'ALE/Breakout-v5'?"),
        ("Zzzzzz-v9", "one of your own is written module:Name"),
        ("not an id at all!", "one of your own is written module:Name"),
        (toy("Countin-v0"), "did you mean 'Counting-v0'?"),
        (toy("Nothing"), "unknown environment 'Nothing' after importing"),
        ("no_such_pkg.envs:My-v0", "no module named 'no_such_pkg'; install it, or run from the folder that holds it"),
        ("gymnasium.no_such_part:My-v0", "no module named 'gymnasium.no_such_part'"),
    ],
)
def test_an_unknown_id_is_one_line_with_the_nearest_one(env_id, said):
    with pytest.raises(ConfigError) as caught:
        make_env(env_config(env_id))
    assert f"env.id={env_id}" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_module_of_the_users_folder_is_imported_and_reaches_the_workers(tmp_path, monkeypatch):
    (tmp_path / "lab_envs.py").write_text(
        "import gymnasium as gym, numpy as np\n"
        "class Lab(gym.Env):\n"
        "    metadata = {'render_modes': []}\n"
        "    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)\n"
        "    action_space = gym.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None): return np.ones(2, np.float32), {}\n"
        "    def step(self, action): return np.ones(2, np.float32), 1.0, True, False, {}\n"
        "gym.register('Lab-v0', 'lab_envs:Lab')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    try:
        envs = planned(vector_config(env_config("lab_envs:Lab-v0"), "workers"))
        assert envs.reset(seed=[1, 2, 3])[0].tolist() == [[1, 1]] * 3
        envs.close()
    finally:
        gym.registry.pop("Lab-v0", None)
        sys.modules.pop("lab_envs", None)


def test_the_example_of_the_documentation_works(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg" / "my_env.py").write_text(text.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    try:
        cfg = vector_config(env_config("my_pkg.my_env:MyEnv-v0", size=8), "sync")
        envs = LockstepEnvs(planned(cfg))
        assert envs.reset([1, 2, 3]).shape == (3, 8)
        for _ in range(100):
            step = envs.step(np.ones(3, np.int64))
        assert step.truncated.all()
        assert {e.reward for e in envs.drain_episodes()} == {50.0}
        assert reward_threshold(cfg.env.id) == 90
        envs.close()
    finally:
        gym.registry.pop("MyEnv-v0", None)
        sys.modules.pop("my_pkg.my_env", None)
        sys.modules.pop("my_pkg", None)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_dependency", "needs 'no_such_dependency', which is not installed"),
        ("1/0", "raised ZeroDivisionError: division by zero"),
        ("def broken(:", "raised SyntaxError"),
    ],
)
def test_a_module_that_does_not_import_says_why(tmp_path, monkeypatch, code, said):
    (tmp_path / "broken_envs.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=f"importing broken_envs {said}"):
        make_env(env_config("broken_envs:My-v0"))


def test_missing_atari_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)  # makes `import ale_py` fail
    with pytest.raises(ConfigError, match=r"pip install ale-py .*a2c\[atari\]"):
        make_env(env_config("ALE/Pong-v5"))


def test_missing_box2d_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    with pytest.raises(ConfigError, match=r"LunarLander-v3 needs .*pip install box2d"):
        make_env(env_config("LunarLander-v3"))


@pytest.mark.parametrize("missing", ["mujoco", "imageio"])
def test_the_module_that_is_really_missing_is_named(monkeypatch, tmp_path, missing):
    # Gymnasium says "MuJoCo is not installed" whatever its module could not import
    for name in [name for name in sys.modules if name.startswith(("gymnasium.envs.mujoco", "mujoco", "imageio"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in {"mujoco", "glfw"} - {missing}:
        (tmp_path / f"{name}.py").write_text("__version__ = '3.3.0'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError) as caught:
        make_env(env_config("HalfCheetah-v5"))
    assert str(caught.value) == (
        f"config error: HalfCheetah-v5 needs the module '{missing}', which is not installed: "
        "pip install mujoco imageio (the extra a2c[mujoco])"
    )


def test_warnings_of_mujoco_go_to_the_log_once(monkeypatch, caplog):
    callbacks = []
    stand_in = types.ModuleType("mujoco")
    stand_in.set_mju_user_warning = callbacks.append
    monkeypatch.setitem(sys.modules, "mujoco", stand_in)
    log_warnings(gym.spec("CartPole-v1"))
    assert callbacks == []
    log_warnings(gym.spec("HalfCheetah-v5"))
    with caplog.at_level("INFO", logger="a2c"):
        callbacks[0]("compiler attribute 'settotalmass' is deprecated")
        callbacks[0]("compiler attribute 'settotalmass' is deprecated")
    assert caplog.messages == ["MuJoCo: compiler attribute 'settotalmass' is deprecated"]


# ---- settings ----


def test_keywords_and_the_time_limit_reach_the_environment():
    env = make_env(env_config(toy("Counting-v0"), length=99, reward=2.5, max_episode_steps=3))
    env.reset(seed=0)
    steps = [env.step(0) for _ in range(3)]
    assert [s[1] for s in steps] == [2.5, 2.5, 2.5]
    assert [s[3] for s in steps] == [False, False, True]  # the clock, not the world
    assert not steps[-1][2]


def test_a_wrong_keyword_is_a_config_error():
    with pytest.raises(ConfigError, match=r"Counting-v0 does not accept env.kwargs=.*legnth"):
        make_env(env_config(toy("Counting-v0"), legnth=3))


def test_a_constructor_that_raises_is_an_environment_failure_before_any_process_starts():
    cfg = vector_config(env_config(toy("Faulty-v0"), fault="constructor"), "workers")
    with pytest.raises(EnvironmentFailure, match="Faulty-v0 could not be made: RuntimeError: no licence") as caught:
        planned(cfg)
    assert caught.value.exit_code == 3
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert multiprocessing.active_children() == []


def test_frames_can_be_rendered():
    env = make_env(env_config(toy("Counting-v0")), render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (32, 32, 3)


def test_thresholds_come_from_the_registration():
    assert reward_threshold("CartPole-v1") == 475.0
    assert reward_threshold(toy("Counting-v0")) is None


# ---- spaces ----

F, U8 = np.float32, np.uint8


@pytest.mark.parametrize(
    ("space", "shape", "dtype"),
    [
        (spaces.Box(-1, 1, (3,), F), (3,), F),
        (spaces.Box(-1, 1, (), F), (1,), F),
        (spaces.Box(-1, 1, (2, 3), F), (6,), F),
        (spaces.Box(-1, 1, (3,), np.float64), (3,), F),
        (spaces.Box(0, 9, (4,), np.int64), (4,), F),
        (spaces.Box(0, 255, (128,), U8), (128,), F),
        (spaces.Box(0, 255, (10, 12, 3), U8), (3, 10, 12), U8),
        (spaces.Box(0, 255, (10, 12, 1), U8), (1, 10, 12), U8),
        (spaces.Box(0, 255, (4, 10, 12), U8), (4, 10, 12), U8),
    ],
)
def test_observations_come_out_as_float_vectors_or_channel_first_images(space, shape, dtype):
    env = make_env(env_config(toy("Spaces-v0"), observation_space=space))
    assert isinstance(env.observation_space, spaces.Box)
    assert (env.observation_space.shape, env.observation_space.dtype) == (shape, dtype)
    first, _ = env.reset(seed=3)
    space.seed(3)
    raw = space.sample()
    turned = raw.transpose(2, 0, 1) if raw.ndim == 3 and raw.shape != shape else raw
    assert first.dtype == dtype
    np.testing.assert_array_equal(first, turned.reshape(shape).astype(dtype))
    assert env.observation_space.contains(first)
    assert env.step(0)[0].shape == shape


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Dict(a=spaces.Text(5))], ids=str)
def test_other_observations_are_refused_with_what_is_supported(space):
    with pytest.raises(ConfigError, match="is not supported: no part of it is made of numbers") as caught:
        make_env(env_config(toy("Spaces-v0"), observation_space=space))
    assert len(str(caught.value)) < 350  # Box prints the bounds of all its elements if it is let


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(4),
        spaces.Tuple([spaces.Discrete(2)]),
        spaces.Box(-1, 1, (2, 2), F),
        spaces.Box(0, 9, (2,), np.int64),
    ],
    ids=str,
)
def test_what_a_vector_environment_of_others_cannot_convert_is_refused(space):
    with pytest.raises(ConfigError, match="is not supported by this vectorization"):
        check_spaces(spaces.Box(-1, 1, (3,), F), space)


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=-1), spaces.Box(-np.inf, 2, (2,), F)], ids=str)
def test_discrete_and_continuous_actions_are_supported(space):
    check_spaces(spaces.Box(-1, 1, (3,), F), space)


# ---- side by side ----


def record(cfg: Any, steps: int) -> list[Any]:
    """Everything that comes out of ``steps`` lockstep steps under fixed seeds and actions."""
    envs = LockstepEnvs(planned(cfg))
    try:
        out: list[Any] = [envs.reset(env_seeds(1, TRAIN, cfg.num_envs)).tobytes()]
        rng = np.random.default_rng(2)
        space, n = envs.action_space, cfg.num_envs
        for _ in range(steps):
            if isinstance(space, spaces.Discrete):
                actions = rng.integers(0, space.n, n)
            else:
                actions = rng.normal(0, 3, (n, *(space.shape or ()))).astype(F)
            s = envs.step(actions)
            out.append((s.obs.tobytes(), s.rewards.tolist(), s.terminated.tolist(), s.truncated.tolist()))
            out.append((s.final_rows.tolist(), s.final_obs.tobytes(), s.valid.all()))
        out.append([(e.env, e.reward, e.length) for e in envs.drain_episodes()])
        return out
    finally:
        envs.close()


RUNS = [
    env_config("CartPole-v1", max_episode_steps=15),
    env_config("Pendulum-v1", max_episode_steps=9),
    env_config(toy("Identity-v0"), length=7, start=-1),
    env_config(toy("Scripted-v0"), index=0, script=("go", "truncated", "go", "both"), rewards=(1.0, 0.5)),
]


@pytest.mark.parametrize("env", RUNS, ids=lambda env: env.id)
def test_every_vectorization_follows_the_same_trajectories(env):
    expected = record(vector_config(env, "sync"), 40)
    assert any(step[0] for step in expected[2:-1:2]), "no episode was truncated: the test shows too little"
    assert record(vector_config(env, "async"), 40) == expected
    for workers in (1, 2, None):
        assert record(vector_config(env, "workers alone", num_workers=workers), 40) == expected
        assert record(vector_config(env, "workers and this process", num_workers=workers), 40) == expected
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("vectorization", OURS)
def test_an_environment_that_reuses_its_buffer_keeps_its_final_observation(vectorization):
    env = env_config(toy("Scripted-v0"), index=5, script=("go", "truncated"), rewards=(1.0,))
    envs = LockstepEnvs(planned(vector_config(env, vectorization, num_envs=2)))
    envs.reset([0, 0])
    envs.step(np.zeros(2, np.int64))
    step = envs.step(np.zeros(2, np.int64))
    assert step.final_obs.tolist() == [[5, 0, 2]] * 2  # (index, episode, step), not the reset's (5, 1, 0)
    assert step.obs.tolist() == [[5, 1, 0]] * 2
    envs.close()


@pytest.mark.parametrize("vectorization", OURS)
def test_ours_reset_in_the_same_step(vectorization):
    envs = planned(vector_config(env_config("CartPole-v1"), vectorization))
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.num_envs == 3
    envs.close()


def test_native_is_the_vector_environment_that_the_id_registers():
    cfg = vector_config(env_config("CartPole-v1", max_episode_steps=4), "native", num_envs=2)
    first = record(cfg, 12)
    assert first == record(cfg, 12)
    assert [(e[0], e[2]) for e in first[-1]] == [(0, 4), (1, 4), (0, 4), (1, 4)]  # 4 steps and 1 reset row each


def test_native_where_there_is_none_is_a_config_error():
    with pytest.raises(ConfigError, match=r"Pendulum-v1 registers no vector environment .* use vectorization=auto"):
        planned(vector_config(env_config("Pendulum-v1"), "native"))


def test_native_refuses_unknown_keywords():
    with pytest.raises(ConfigError, match=r"CartPole-v1 does not accept env.kwargs=.*gravity"):
        planned(vector_config(env_config("CartPole-v1", gravity=1.0), "native"))


@pytest.mark.parametrize(
    "module", ["a2c.envs", "a2c.envs.vector.shard_worker", "a2c.envs.make_vector_env", "a2c.envs.lockstep"]
)
def test_a_worker_imports_no_torch(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'wandb', 'omegaconf', 'hydra') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.strip() == "[]"


def test_the_errors_survive_a_process_boundary():
    error = pickle.loads(pickle.dumps(ConfigError("a")))  # noqa: S301
    assert str(error) == "config error: a"
