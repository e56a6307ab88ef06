"""Checks on what N environments return at once: shape, finite numbers, and a remark on what is out of bounds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

from a2c.envs.contract import not_finite, space_tree
from a2c.envs.converting.masks import MaskedBox
from a2c.envs.remarks import Remarks
from a2c.errors import A2CError, EnvironmentFailure, NumericError
from a2c.maths.trees import tree_map

LOOKS, SELDOM = 1000, 64  # steps that are all compared with the bounds of their space, and of later ones one in so many


class BatchChecks:
    """The checks of one group of environments; messages name an environment by its global index.

    Args:
        num_envs: N of the group.
        space: of one environment's observations.
        first: global index of the group's first environment.
        remarks: what is said of observations out of bounds; None: nothing that anyone hears more than once.
        signs: only the signs of rewards are learned from, so that float32 need not hold them.
    """

    def __init__(
        self, num_envs: int, space: Space[Any], first: int, remarks: Remarks | None = None, *, signs: bool = False
    ) -> None:
        self._num_envs, self._first, self._masked = num_envs, first, isinstance(space, MaskedBox)
        self._remarks = Remarks() if remarks is None else remarks
        self._largest = float(np.finfo(np.float64 if signs else np.float32).max)
        self._sizes, self._finite_rewards = np.empty(num_envs), np.empty(num_envs, np.bool_)
        self._all_finite = b"\1" * num_envs
        self._parts = tree_map(lambda part: _Part(num_envs, part, self._remarks.huge), space_tree(space))

    def infos(self, infos: dict[str, Any]) -> None:
        """Remark on infos of a reset that training does not use."""
        if not self._masked:
            self._remarks.infos(infos)

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
        if part.finite is None:
            return
        remark = part.expected is not None and (step < LOOKS or step % SELDOM == 0)
        if remark:  # NaN is in no interval, nor is infinity in one of these: one look for all
            assert part.expected is not None
            low, high = part.expected
            np.greater_equal(obs, low, part.finite)
            np.less_equal(obs, high, part.below)
            if part.finite.tobytes() == part.all_finite and part.below.tobytes() == part.all_finite:
                return
        np.isfinite(obs, part.finite)
        if part.finite.tobytes() != part.all_finite:
            row = int(part.finite.reshape(self._num_envs, -1).all(axis=1).argmin())
            self._reject("observation", row, obs, step)
        if remark:
            self._remark(part, obs, step)

    def _remark(self, part: _Part, obs: NDArray[Any], step: int) -> None:
        """Say what is unexpected about observations that are finite, and no longer look for it."""
        assert part.expected is not None
        bounds, expected = part.bounds, part.expected
        out_of_bounds = (obs < bounds[0]) | (obs > bounds[1])
        kind, wrong = "bounds", out_of_bounds
        if not out_of_bounds.any():
            kind, wrong = "huge", (obs < expected[0]) | (obs > expected[1])
        row, *place = (int(index) for index in np.argwhere(wrong)[0])
        low, high = (bound[tuple(place)] for bound in bounds)
        where = f"environment {self._first + row} gave an observation with the number {obs[(row, *place)]:g}"
        if kind == "bounds":
            part.expected = None
            self._remarks.say(
                kind, f"{where} in step {step}, outside its bounds [{low:g}, {high:g}]; it is taken as is"
            )
        else:
            part.expected = part.finite_bounds
            self._remarks.say(kind, f"{where} in step {step}, which is taken as is: normalize_obs=true would scale it")

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

    def __init__(self, num_envs: int, space: Space[Any], huge: float) -> None:
        self.shape = (num_envs, *(space.shape or ()))
        floats = space.dtype is not None and np.issubdtype(space.dtype, np.floating)
        self.finite = np.empty(self.shape, np.bool_) if floats else None  # None: integers are always finite
        self.all_finite = b"\1" * int(np.prod(self.shape))
        self.expected: tuple[NDArray[Any], NDArray[Any]] | None = None  # None: nothing is left to remark upon
        if floats and isinstance(space, Box):
            most = float(np.finfo(space.dtype).max)
            self.below = np.empty(self.shape, np.bool_)
            self.bounds = space.low, space.high
            self.finite_bounds = self._within(most)
            self.expected = self._within(min(huge, most))

    def _within(self, most: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """The bounds of every number, at most so far from zero; written out, because numpy then compares faster."""
        low, high = self.bounds
        parts = np.maximum(low, -most), np.minimum(high, most)
        return tuple(np.ascontiguousarray(np.broadcast_to(part, self.shape)) for part in parts)  # type: ignore[return-value]
