"""Checks on what N environments return at once: it has the shape of their space and is finite."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from numpy.typing import NDArray

from a2c.envs.contract import not_finite, space_tree
from a2c.errors import A2CError, EnvironmentFailure, NumericError
from a2c.maths.trees import tree_map


class BatchChecks:
    """The checks of one group of environments; messages name an environment by its global index.

    Args:
        num_envs: N of the group.
        space: of one environment's observations.
        first: global index of the group's first environment.
        signs: only the signs of rewards are learned from, so that float32 need not hold them.
    """

    def __init__(self, num_envs: int, space: Space[Any], first: int, *, signs: bool = False) -> None:
        self._num_envs, self._first = num_envs, first
        self._largest = float(np.finfo(np.float64 if signs else np.float32).max)
        self._sizes, self._finite_rewards = np.empty(num_envs), np.empty(num_envs, np.bool_)
        self._all_finite = b"\1" * num_envs
        self._parts = tree_map(lambda part: _Part(num_envs, part), space_tree(space))

    def rewards(self, rewards: NDArray[np.float64], step: int) -> None:
        """Check the ``[N]`` rewards of a step.

        Raises:
            NumericError: one is not finite, or will not be in float32, in which the learner takes it.
        """
        np.abs(rewards, self._sizes)
        np.less_equal(self._sizes, self._largest, self._finite_rewards)
        # Comparing flags as bytes takes a third of the time of any() or count_nonzero(), which matters at N = 16.
        if self._finite_rewards.tobytes() != self._all_finite:
            self._reject("reward", int(self._finite_rewards.argmin()), rewards, step)

    def observations(self, obs: Any, step: int) -> None:
        """Check the ``[N, *obs]`` observations of a reset or step, a tree of arrays.

        Raises:
            EnvironmentFailure: their shape is not the shape of their space.
            NumericError: one is not finite.
        """
        if isinstance(self._parts, _Part):
            self._observations(self._parts, obs, step)
        else:
            tree_map(lambda part, array: self._observations(part, array, step), self._parts, obs)

    def final_observations(self, finals: Any, rows: NDArray[np.intp], step: int) -> None:
        """Check the ``[K, *obs]`` observations that ended the episodes of the K ``rows``, a tree of arrays.

        Raises:
            NumericError: one is not finite.
        """
        tree_map(lambda array: self._finals(array, rows, step), finals)

    def placed(self, failure: A2CError) -> A2CError:
        """Put the global index of its environment into a failure.

        Raise it at once: a local variable that keeps it makes a reference cycle.
        """
        if self._first:
            text, named = re.subn(
                r"\benvironment (\d+)",
                lambda found: f"environment {self._first + int(found[1])}",
                failure.args[0],
                count=1,
            )
            last = self._first + self._num_envs - 1
            failure.args = (text if named else f"environments {self._first}-{last}: {text}",)
        named_env = re.search(r"\benvironment (\d+)", failure.args[0])
        if isinstance(failure, NumericError) and failure.evidence is not None and named_env:
            failure.evidence["environment"] = int(named_env[1])
        return failure

    def _observations(self, part: _Part, obs: NDArray[Any], step: int) -> None:
        if obs.shape != part.shape:
            raise EnvironmentFailure(f"observations have shape {obs.shape}, their space says {part.shape}")
        if part.finite is not None:
            np.isfinite(obs, part.finite)
            if part.finite.tobytes() != part.all_finite:
                row = int(part.finite.reshape(self._num_envs, -1).all(axis=1).argmin())
                self._reject("observation", row, obs, step)

    def _finals(self, finals: NDArray[Any], rows: NDArray[np.intp], step: int) -> None:
        if np.issubdtype(finals.dtype, np.floating):
            finite = np.isfinite(finals).reshape(len(rows), -1).all(axis=1)
            if not finite.all():
                at = int(finite.argmin())
                self._reject("final observation", at, finals, step, env=int(rows[at]))

    def _reject(self, what: str, row: int, values: NDArray[Any], step: int, env: int | None = None) -> None:
        env = self._first + (row if env is None else env)
        shown = np.array2string(values[row], threshold=8)
        must = "finite" if not np.isfinite(values[row]).all() else "finite in float32"
        error = NumericError(f"environment {env} gave the {what} {shown} in step {step}; every one must be {must}")
        error.evidence = {"environment": env, **not_finite(what, values[row], step)}
        raise error


class _Part:
    """The shape that one part of the observations must have, and memory for the check that it is finite."""

    def __init__(self, num_envs: int, space: Space[Any]) -> None:
        self.shape = (num_envs, *(space.shape or ()))
        floats = space.dtype is not None and np.issubdtype(space.dtype, np.floating)
        self.finite = np.empty(self.shape, np.bool_) if floats else None  # None: integers are always finite
        self.all_finite = b"\1" * int(np.prod(self.shape))
