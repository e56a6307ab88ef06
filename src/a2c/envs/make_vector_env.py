"""Make N environments side by side from the settings."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv

from a2c.envs.choosing.choose import Plan
from a2c.envs.failures import as_failure
from a2c.envs.foreign import close_in_time, users_own
from a2c.envs.frames import Frames
from a2c.envs.single import atari
from a2c.envs.single.from_envpool import is_envpool
from a2c.envs.single.make_env import make_env
from a2c.envs.single.registry import find_spec, refusal
from a2c.envs.spaces import check_spaces, spaces_of
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.envs.vector.lent import ready
from a2c.envs.vector.one_process_each import OneProcessEach
from a2c.errors import A2CError, ConfigError
from a2c.machine.cores import usable_cores
from a2c.settings.config import EnvConfig

AnyVectorEnv = VectorEnv[Any, Any, Any]


def make_vector_env(env: EnvConfig, num_envs: int, plan: Plan) -> AnyVectorEnv:
    """Make ``num_envs`` environments side by side.

    ``workers``, ``async`` and ``sync`` reset in the same step and give the same trajectories for the same seeds and
    actions. ``native`` is the vector environment that the id registers, in whichever mode it resets. For ``device``
    call :func:`a2c.envs.device.lockstep.make_device_envs`.

    Args:
        env: which environment.
        num_envs: N.
        plan: what steps them (:func:`a2c.envs.choosing.plan.plan`).

    Raises:
        ConfigError: as :func:`a2c.envs.make_env`; or ``native``, but the id registers no vector environment.
        EnvironmentFailure: an environment could not be made.
    """
    if plan.vectorization == "native":
        return make_registered(env, num_envs, num_threads=plan.num_workers)
    env_fns = [functools.partial(make_env, env)] * num_envs
    try:
        if plan.vectorization == "workers":
            from a2c.envs.vector.sharded import ShardedAsyncVectorEnv

            return ShardedAsyncVectorEnv(
                env_fns,
                copy=False,
                autoreset_mode=AutoresetMode.SAME_STEP,
                num_workers=plan.num_workers,
                main_shard=plan.main_shard,
                log_failures=False,  # the exception says it all, once
                isolate=env.isolate,
            )
        if plan.vectorization == "async":
            return OneProcessEach(env_fns)
        return InProcessVectorEnv(env_fns, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    except BaseException as error:
        if users_own(error) or isinstance(error, A2CError):
            raise
        raise as_failure(error, None, f"making {num_envs} x {env.id}") from error


def newest_frames(env: EnvConfig, plan: Plan) -> tuple[EnvConfig, Frames | None]:
    """Settings of the same environment without its frame stack, and how to stack what it then gives.

    Args:
        env: which environment, as the policy sees it.
        plan: what steps it: ours repeat the first frame of an episode, ale-py puts it after zeros.

    Returns:
        The settings for :func:`make_vector_env`, and the stacks; ``env`` itself and None where its observations are no
        stack, where wrappers see the whole of it, or where nobody can tell when a stack begins anew.
    """
    if env.atari.frame_stack == 1 or env.wrappers or not atari.is_atari(find_spec(env.id)):
        return env, None
    native = plan.vectorization == "native"
    if native and env.kwargs.get("life_loss_info"):  # ale-py then says "terminated" where it does not reset
        return env, None
    frames = Frames(env.atari.frame_stack, repeated=not native)
    return replace(env, atari=replace(env.atari, frame_stack=1)), frames


def make_registered(
    env: EnvConfig, num_envs: int, *, num_threads: int | None = None, device: str | None = None
) -> AnyVectorEnv:
    """Make the vector environment that the id registers.

    Args:
        env: which environment.
        num_envs: N.
        num_threads: of Atari games and of EnvPool; None: one for each core.
        device: where its arrays live; passed only to a constructor that takes ``device``.

    Raises:
        ConfigError: the id registers none, or one with unsupported spaces.
        EnvironmentFailure: its constructor raised.
    """
    spec = find_spec(env.id)
    if isinstance(env.symbols, list):
        raise ConfigError(
            f"env.symbols={env.symbols} is for single environments, and {spec.id} is a vector environment here: "
            "vectorization=auto, or symbols made one-hot by the environment"
        )
    if spec.vector_entry_point is None:
        wanted = "native" if device is None else "device"
        raise ConfigError(
            f"vectorization={wanted}: {spec.id} registers no vector environment of its own; use vectorization=auto"
        )
    try:
        envs: AnyVectorEnv
        if lender := ready(spec):
            envs = lender(num_envs)
        elif atari.is_atari(spec):
            envs = atari.make_native(spec, env, num_envs, num_threads)
        else:
            limit = {} if env.max_episode_steps is None else {"max_episode_steps": env.max_episode_steps}
            where: dict[str, Any] = {"device": device} if device and _takes_device(spec) else {}
            if is_envpool(spec):
                where = {"num_threads": min(num_envs, num_threads or usable_cores())}
            envs = gym.make_vec(
                spec,
                num_envs=num_envs,
                vectorization_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
                **{**env.kwargs, **limit, **where},
            )
    except BaseException as error:
        if users_own(error):
            raise
        raise refusal(error, spec, env.kwargs) from error
    try:
        check_spaces(envs.single_observation_space, envs.single_action_space)
    except BaseException:
        close_in_time(envs.close, spec.id)
        raise
    return envs


def check_evaluation(env: EnvConfig, envs: AnyVectorEnv) -> None:
    """Evaluation, ``watch`` and videos play single environments, which must have the same spaces.

    Raises:
        ConfigError: they have others.
    """
    single = make_env(env)
    try:
        alone = spaces_of(single.observation_space, single.action_space)
    finally:
        close_in_time(single.close, env.id)
    together = spaces_of(envs.single_observation_space, envs.single_action_space)
    if alone != together:
        raise ConfigError(f"{env.id} has {alone} in evaluation, but its vector environment has {together}")


def _takes_device(spec: EnvSpec) -> bool:
    entry = spec.vector_entry_point
    make = load_env_creator(entry) if isinstance(entry, str) else entry
    return make is not None and "device" in inspect.signature(make).parameters
