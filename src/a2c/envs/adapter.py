"""One step semantics for every vector environment, whatever its autoreset mode.

What happens when an episode ends at step t, by mode:

    SAME_STEP   obs is the new episode's first observation; the final one is in infos or in a buffer of its own
    NEXT_STEP   obs is the final observation; the next step ignores its action and resets: no transition
    DISABLED    obs is the final observation; we reset by mask at once

In all of them the transitions that come out (rows with ``valid``) are the same, and a truncated row
comes with the observation that the clock cut off, because its value is what the learner bootstraps from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from a2c.envs.actions import action_door
from a2c.envs.backends import backend_of
from a2c.envs.choose import Choice
from a2c.envs.episodes import Episode, EpisodeStatistics, LifeCounter
from a2c.envs.failures import as_failure, force_close
from a2c.errors import A2CError, ConfigError, EnvironmentFailure, NumericError

_TOLD = ("lives", "life_lost")  # what a lost life is known by


@dataclass(slots=True)
class Step:
    """One lockstep step of N environments."""

    obs: NDArray[Any]  # [N, *obs]  where the next step starts; may be a view, valid until that step
    rewards: NDArray[np.float32]  # [N]  to learn from: the sign of the reward if so asked
    terminated: NDArray[np.bool_]  # [N]  the world ended, or a life was lost; wins over truncated
    truncated: NDArray[np.bool_]  # [N]  the clock ended
    valid: NDArray[np.bool_]  # [N]  False where the row is no transition but a NEXT_STEP reset
    final_rows: NDArray[np.intp]  # [K]  the truncated environments
    final_obs: NDArray[Any]  # [K, *obs]  their final observations, a copy


class LockstepEnvs:
    """N environments in lockstep, on the host.

    Args:
        envs: any Gymnasium vector environment; ``metadata["autoreset_mode"]`` says how it resets.
        clip_reward: learn from the sign of the reward; episode returns stay raw.
        life_loss: a lost life (``infos["lives"]`` fell, or ``infos["life_lost"]``) is shown to the learner as
            termination; the game and its statistics go on.
        step_timeout: seconds for one reset or step, where ``envs`` steps in other processes
            (it has ``step_wait(timeout)``); an environment in this process cannot be interrupted.
        choice: why these environments, for whoever shows it.
        first: global index of the first, where there are groups of them.

    Raises:
        ConfigError: ``envs`` does not say its autoreset mode.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        *,
        clip_reward: bool = False,
        life_loss: bool = False,
        step_timeout: float | None = None,
        choice: Choice | None = None,
        first: int = 0,
    ) -> None:
        self.envs = envs
        self._first = first
        self.choice = choice
        self.num_envs: int = envs.num_envs
        self.observation_space: Space[Any] = envs.single_observation_space
        self.action_space: Space[Any] = envs.single_action_space
        self._mode = autoreset_mode(envs)
        self._clip_reward = clip_reward
        self._backend = backend_of(envs, step_timeout, _TOLD if life_loss else ())
        self._to_env = action_door(self.action_space)

        n, space = self.num_envs, self.observation_space
        self._shape = (n, *(space.shape or ()))
        self._finite_obs: NDArray[np.bool_] | None = None  # workspace; None: integers are always finite
        if space.dtype is not None and np.issubdtype(space.dtype, np.floating):
            self._finite_obs = np.empty(self._shape, np.bool_)
        self._finite_rewards = np.empty(n, np.bool_)
        # Flags compared as bytes: a third of the time of any() or count_nonzero(), which counts at N = 16.
        self._all_finite, self._all_finite_obs = b"\1" * n, b"\1" * int(np.prod(self._shape))
        self._no_flags = bytes(n)
        self._all, self._none = _constant(n, True), _constant(n, False)  # most steps end no episode
        self._no_rows = np.empty(0, np.intp)
        self._no_final = np.empty((0, *self._shape[1:]), space.dtype)

        self._resetting = np.zeros(n, np.bool_)  # NEXT_STEP: the coming row resets
        self._any_resetting = False
        self._statistics = EpisodeStatistics(n)
        self._lives = LifeCounter(n) if life_loss else None
        self._steps = 0
        self._broken = False

    def reset(self, seeds: Sequence[int]) -> NDArray[Any]:
        """Start a new episode everywhere, environment i from ``seeds[i]``.

        A vector environment that knows only one seed for all (native ones other than Atari) gets ``seeds[0]``.

        Returns:
            ``[N, *obs]`` first observations.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        if self._broken:
            self._refuse()
        try:
            obs, infos = self._backend.reset(seeds)
        except Exception as error:
            self._fail(error, "reset")
        obs = self._checked(obs)
        self._resetting = np.zeros(self.num_envs, np.bool_)
        self._any_resetting = False
        self._statistics.restart(self._steps)
        if self._lives is not None:
            self._lives.restart(infos)
        return obs

    @property
    def observations(self) -> NDArray[Any] | None:
        """``[N, *obs]``: the one place where every reset and step leaves its observations; None if there is none."""
        return self._backend.observations

    def step(self, actions: NDArray[Any]) -> Step:
        """Act everywhere once: :meth:`send`, then :meth:`receive`."""
        self.send(actions)
        return self.receive()

    def send(self, actions: NDArray[Any]) -> None:
        """Begin to act everywhere; environments in other processes run while the caller does something else.

        Args:
            actions: ``[N]`` int64, counted from 0, or ``[N, D]`` float32, unclipped.

        Raises:
            EnvironmentFailure: a worker is gone, or the environments failed before.
        """
        if self._broken:
            self._refuse()
        try:
            self._backend.begin(actions if self._to_env is None else self._to_env(actions))
        except Exception as error:
            self._fail(error, f"step {self._steps + 1}")

    def receive(self) -> Step:
        """What came of the actions sent.

        Raises:
            EnvironmentFailure: an environment raised, died, hung or broke its contract; no step is possible after it.
            NumericError: a reward or an observation is not finite.
        """
        try:
            obs, rewards, terminated, truncated, infos = self._backend.finish()
        except Exception as error:
            self._fail(error, f"step {self._steps + 1}")
        self._steps += 1
        if self._any_resetting:
            rewards = np.where(self._resetting, 0.0, rewards)
        np.isfinite(rewards, self._finite_rewards)
        if self._finite_rewards.tobytes() != self._all_finite:
            self._reject("reward", int(self._finite_rewards.argmin()), rewards)
        obs = self._checked(obs)
        self._statistics.add(rewards)
        lost = self._lives.lost(infos) if infos and self._lives is not None else None
        learned = (np.sign(rewards) if self._clip_reward else rewards).astype(np.float32)

        none = self._no_flags
        if terminated.tobytes() != none or truncated.tobytes() != none or self._any_resetting:
            # The flags are changed there and kept by the caller: copies.
            return self._end(obs, learned, terminated.copy(), truncated.copy(), infos, lost)
        died = self._none if lost is None else np.array(lost, np.bool_)
        return Step(obs, learned, died, self._none, self._all, self._no_rows, self._no_final)

    def drain_episodes(self) -> list[Episode]:
        """Episodes finished since the last call, in order of (step, environment)."""
        return self._statistics.drain()

    def close(self, terminate: bool = False) -> None:
        """Leave no process behind; ``terminate``, or an earlier failure, does not wait for the environments."""
        if terminate or self._broken:
            force_close(self.envs)
        else:
            self.envs.close()

    def _end(
        self,
        obs: NDArray[Any],
        learned: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        infos: dict[str, Any],
        lost: NDArray[np.bool_] | None,
    ) -> Step:
        """The rest of a step in which episodes end, or which follows one in NEXT_STEP."""
        ended = terminated | truncated
        valid = self._all
        if self._any_resetting:
            valid = ~self._resetting
            terminated &= valid
            truncated &= valid
        final_rows, final_obs = self._no_rows, self._no_final
        any_ended = bool(np.count_nonzero(ended))
        if any_ended:
            truncated &= ~terminated
            final_rows = truncated.nonzero()[0]
            if len(final_rows):
                final_obs = self._final_observations(final_rows, obs, infos)
            # NEXT_STEP spends a step on the reset
            self._statistics.finish(terminated | truncated, self._steps, self._mode is AutoresetMode.NEXT_STEP)
            if self._mode is AutoresetMode.DISABLED:
                try:
                    obs, infos = self._backend.reset_some(ended)
                except Exception as error:
                    self._fail(error, f"the reset after step {self._steps}")
                obs = self._checked(obs)
                if self._lives is not None:
                    self._lives.lost(infos)  # the new games' lives
        if self._mode is AutoresetMode.NEXT_STEP:
            self._resetting, self._any_resetting = ended, any_ended
        if lost is not None:  # after the episodes: the game goes on
            terminated |= lost & valid & ~ended
        return Step(obs, learned, terminated, truncated, valid, final_rows, final_obs)

    def _final_observations(self, rows: NDArray[np.intp], obs: NDArray[Any], infos: dict[str, Any]) -> NDArray[Any]:
        """The observations that ended the truncated rows: ``[K, *obs]``, a copy."""
        if self._mode is not AutoresetMode.SAME_STEP:
            return obs[rows]
        final: Any = self._backend.final_observations
        if final is None:
            if "final_obs" not in infos:
                self._broken = True
                raise EnvironmentFailure(f"{self.envs} resets in the same step but gives no infos['final_obs']")
            final = infos["final_obs"]  # [N] of object, None elsewhere (Gymnasium's own), or [N, *obs] (ale-py)
        finals = np.stack([np.asarray(final[row], obs.dtype) for row in rows])
        if self._finite_obs is not None:
            finite = np.isfinite(finals).reshape(len(rows), -1).all(axis=1)
            if not finite.all():
                self._reject("final observation", int(rows[finite.argmin()]), final)
        return finals

    def _refuse(self) -> NoReturn:
        # After a timeout a late answer would be taken for the next step's: every result off by one action.
        raise EnvironmentFailure("the environments failed before; close them and make new ones")

    def _fail(self, error: Exception, when: str) -> NoReturn:
        self._broken = True
        if isinstance(error, A2CError):
            raise self._placed(error)
        raise self._placed(as_failure(error, self.envs, when)) from error

    def _placed(self, failure: A2CError) -> A2CError:
        """The failure, with the global index of its environment. (A local of the frame that raises it is a cycle.)"""
        if self._first:
            text, named = re.subn(
                r"\benvironment (\d+)",
                lambda found: f"environment {self._first + int(found[1])}",
                failure.args[0],
                count=1,
            )
            last = self._first + self.num_envs - 1
            failure.args = (text if named else f"of environments {self._first}-{last}: {text}",)
        return failure

    def _checked(self, obs: NDArray[Any]) -> NDArray[Any]:
        if obs.shape != self._shape:
            self._broken = True
            raise EnvironmentFailure(f"observations have shape {obs.shape}, their space says {self._shape}")
        finite = self._finite_obs
        if finite is not None:
            np.isfinite(obs, finite)
            if finite.tobytes() != self._all_finite_obs:
                self._reject("observation", int(finite.reshape(self.num_envs, -1).all(axis=1).argmin()), obs)
        return obs

    def _reject(self, what: str, row: int, values: NDArray[Any]) -> None:
        self._broken = True
        raise NumericError(
            f"environment {self._first + row} gave the {what} {np.array2string(values[row], threshold=8)} "
            f"in step {self._steps}; every one must be finite"
        )


def autoreset_mode(envs: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """How a vector environment resets, by its metadata."""
    mode = (envs.metadata or {}).get("autoreset_mode")
    try:
        return mode if isinstance(mode, AutoresetMode) else AutoresetMode(mode)
    except ValueError:
        raise ConfigError(
            f"{envs} has metadata['autoreset_mode']={mode}; "
            "it must be gymnasium.vector.AutoresetMode.SAME_STEP, NEXT_STEP or DISABLED"
        ) from None


def _constant(num_envs: int, value: bool) -> NDArray[np.bool_]:
    """``[N]`` of one value that nobody may change."""
    rows = np.full(num_envs, value)
    rows.flags.writeable = False
    return rows
