"""The checks of training for one environment that somebody steps alone."""

from __future__ import annotations

import math
import os
import traceback
from typing import Any

import gymnasium as gym
import numpy as np

from a2c.envs.contract import fitting_observation, not_finite, real_reward, space_tree
from a2c.errors import A2CError, EnvironmentFailure, NumericError
from a2c.machine.processes.failure_report import FOLLOWS, ContractError
from a2c.maths.trees import tree_map


class Checked(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose failures all name the environment and the step.

    What it returns must fit its spaces and be finite. Whatever it raises, ``SystemExit`` included, becomes one
    :class:`EnvironmentFailure` with the environment's own traceback as a note: plain text, so that it can cross to
    another process whatever the exception was. Ctrl-C passes unchanged.

    Args:
        env: the environment.
        name: for the messages, like ``environment 3`` or ``environment 0 of evaluation``.
    """

    def __init__(self, env: gym.Env[Any, Any], name: str) -> None:
        super().__init__(env)
        self._name, self._steps = name, 0
        self._spaces = space_tree(env.observation_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As in Gymnasium.

        Raises:
            EnvironmentFailure: it raised or broke its contract.
            NumericError: the observation is not finite.
        """
        try:
            obs, info = self.env.reset(seed=seed, options=options)
            return self._checked(obs), info
        except (Exception, SystemExit) as error:
            raise self._named(error, "reset") from None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As in Gymnasium, the reward as a float; raises as :meth:`reset`."""
        self._steps += 1
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
            number = reward if type(reward) is float else real_reward(reward)
            if not math.isfinite(number):
                raise self._not_finite("reward", str(number), np.asarray(number))
            return self._checked(obs), number, bool(terminated), bool(truncated), info
        except (Exception, SystemExit) as error:
            raise self._named(error, f"step {self._steps}") from None

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
        if isinstance(error, ContractError):
            return EnvironmentFailure(f"{self._name} {error} in {when}")
        return named_failure(error, self._name, when)


def named_failure(error: BaseException, name: str, when: str) -> EnvironmentFailure:
    """Describe in one line what an environment raised in this process, with its traceback as a note.

    Args:
        error: what it raised.
        name: of the environment.
        when: such as ``step 3`` or ``its constructor``.
    """
    text = next(iter(_text(error).strip().splitlines()), "") or "no message"
    who = f"{name} (pid {os.getpid()})"
    failure = EnvironmentFailure(f"{who} raised {type(error).__name__} in {when}: {text}{FOLLOWS}")
    failure.add_note("".join(traceback.format_exception(error)))
    return failure


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(its text cannot be read: {type(broken).__name__})"
