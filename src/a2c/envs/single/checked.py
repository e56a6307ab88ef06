"""The checks of training for one environment that somebody steps alone."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np

from a2c.envs.contract import fitting_observation, real_reward, space_tree
from a2c.errors import A2CError, EnvironmentFailure, NumericError
from a2c.machine.processes.failure_report import FOLLOWS, ContractError
from a2c.maths.trees import tree_map

Result = TypeVar("Result")


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
        return self._guarded("reset", lambda: self._observed(*self.env.reset(seed=seed, options=options)))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As in Gymnasium, the reward as a float; raises as :meth:`reset`."""
        self._steps += 1
        return self._guarded(f"step {self._steps}", lambda: self._stepped(action))

    def _stepped(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        number = real_reward(reward)
        if not np.isfinite(number):
            raise NumericError(f"{self._name} gave the reward {number} in step {self._steps}; every one must be finite")
        obs, info = self._observed(obs, info)
        return obs, number, bool(terminated), bool(truncated), info

    def _observed(self, obs: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return tree_map(self._fitting, self._spaces, obs), info

    def _fitting(self, space: gym.Space[Any], part: Any) -> Any:
        if space.shape is None or space.dtype is None:  # such as Text: there is nothing to check
            return part
        fitting = fitting_observation(part, space.shape, space.dtype)
        if fitting.dtype.kind == "f" and not np.isfinite(fitting).all():
            shown = np.array2string(fitting, threshold=8)
            raise NumericError(
                f"{self._name} gave the observation {shown} in step {self._steps}; every one must be finite"
            )
        return fitting

    def _guarded(self, when: str, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except A2CError:
            raise
        except ContractError as error:
            raise EnvironmentFailure(f"{self._name} {error} in {when}") from None
        except (Exception, SystemExit) as error:
            raise named_failure(error, self._name, when) from None


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
