"""The checks of training for one environment that somebody steps alone."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from a2c.envs.contract import fitting_observation, not_finite, real_reward, space_tree
from a2c.envs.foreign import close_in_time, named_failure, users_own
from a2c.envs.single.make_env import make_env
from a2c.errors import A2CError, EnvironmentFailure, NumericError
from a2c.machine.processes.deadline import OutOfTimeError, alarm
from a2c.machine.processes.failure_report import ContractError
from a2c.maths.trees import tree_map
from a2c.settings.config import EnvConfig


class Checked(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose failures all name the environment and the step.

    What it returns must fit its spaces and be finite. Whatever it raises, ``SystemExit`` included, becomes one
    :class:`EnvironmentFailure` with the environment's own traceback as a note: plain text, so that it can cross to
    another process whatever the exception was. The user's Ctrl-C passes unchanged. ``close`` raises nothing, and comes
    back.

    Args:
        env: the environment.
        name: for the messages, like ``environment 3`` or ``environment 0 of evaluation``.
        timeout: seconds for one reset or step, where an alarm can interrupt it (:mod:`a2c.machine.processes.deadline`).
    """

    def __init__(self, env: gym.Env[Any, Any], name: str, timeout: float | None = None) -> None:
        super().__init__(env)
        self._name, self._steps, self._timeout = name, 0, timeout
        self._spaces = space_tree(env.observation_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As in Gymnasium.

        Raises:
            EnvironmentFailure: it raised or broke its contract.
            NumericError: the observation is not finite.
        """
        try:
            if self._timeout is None:
                obs, info = self.env.reset(seed=seed, options=options)
            else:
                with alarm(self._timeout):
                    obs, info = self.env.reset(seed=seed, options=options)
            return self._checked(obs), info
        except BaseException as error:
            if users_own(error):
                raise
            raise self._named(error, "reset") from None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As in Gymnasium, the reward as a float; raises as :meth:`reset`."""
        self._steps += 1
        try:
            if self._timeout is None:
                obs, reward, terminated, truncated, info = self.env.step(action)
            else:
                with alarm(self._timeout):
                    obs, reward, terminated, truncated, info = self.env.step(action)
            number = reward if type(reward) is float else real_reward(reward)
            if not math.isfinite(number):
                raise self._not_finite("reward", str(number), np.asarray(number))
            return self._checked(obs), number, bool(terminated), bool(truncated), info
        except BaseException as error:
            if users_own(error):
                raise
            raise self._named(error, f"step {self._steps}") from None

    def close(self) -> None:
        """Close the environment, whatever it raises and however long it would take."""
        close_in_time(self.env.close, self._name)

    def _checked(self, obs: Any) -> Any:
        space = self._spaces
        if not isinstance(space, gym.Space):
            return tree_map(self._fitting, space, obs)
        if type(obs) is np.ndarray and obs.dtype == space.dtype and obs.shape == space.shape:  # as most are
            return self._finite(obs)
        return self._fitting(space, obs)

    def _fitting(self, space: gym.Space[Any], part: Any) -> Any:
        if space.shape is None or space.dtype is None:  # such as Text: there is nothing to check
            return part
        return self._finite(fitting_observation(part, space.shape, space.dtype))

    def _finite(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self._not_finite("observation", np.array2string(array, threshold=8), array)
        return array

    def _not_finite(self, what: str, shown: str, values: np.ndarray) -> NumericError:
        error = NumericError(f"{self._name} gave the {what} {shown} in step {self._steps}; every one must be finite")
        error.evidence = not_finite(what, values, self._steps)
        return error

    def _named(self, error: BaseException, when: str) -> A2CError:
        if isinstance(error, A2CError):
            return error
        if isinstance(error, OutOfTimeError):
            return EnvironmentFailure(f"{self._name} did not answer in {self._timeout:g} s ({when}; env.step_timeout)")
        if isinstance(error, ContractError):
            return EnvironmentFailure(f"{self._name} {error} in {when}")
        return named_failure(error, self._name, when)


def make_checked(env: EnvConfig, name: str, *, render_mode: str | None = None) -> Checked:
    """Make one environment behind these checks, held to ``env.step_timeout``; raises as :func:`a2c.envs.make_env`."""
    return Checked(make_env(env, render_mode=render_mode), name, env.step_timeout)
