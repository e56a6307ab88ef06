"""One step semantics for every vector environment, whatever its autoreset mode.

What happens when an episode ends at step t, by mode:

    SAME_STEP   obs is the new episode's first observation; the final one is in infos or in a buffer of its own
    NEXT_STEP   obs is the final observation; the next step ignores its action and resets: no transition
    DISABLED    obs is the final observation; we reset by mask at once

In all of them the transitions that come out (rows with ``valid``) are the same, and a truncated row
comes with the observation that the clock cut off, because its value is what the learner bootstraps from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from a2c.envs.actions import action_door
from a2c.envs.episodes import Episode, EpisodeStatistics, LifeCounter
from a2c.envs.failures import as_failure, force_close
from a2c.errors import A2CError, ConfigError, EnvironmentFailure, NumericError


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
    ) -> None:
        self.envs = envs
        self.num_envs: int = envs.num_envs
        self.observation_space: Space[Any] = envs.single_observation_space
        self.action_space: Space[Any] = envs.single_action_space
        self._mode = autoreset_mode(envs)
        self._clip_reward = clip_reward
        self._timeout = step_timeout
        wait = getattr(envs, "step_wait", None)
        self._waits = wait is not None and "timeout" in inspect.signature(wait).parameters
        self._to_env = action_door(self.action_space)
        self._final_buffer: NDArray[Any] | None = getattr(envs, "final_observations", None)

        n, space = self.num_envs, self.observation_space
        self._shape = (n, *(space.shape or ()))
        self._check_finite = space.dtype is not None and np.issubdtype(space.dtype, np.floating)
        self._all_valid = np.ones(n, np.bool_)
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
        base = self.envs.unwrapped
        each = isinstance(base, (SyncVectorEnv, AsyncVectorEnv)) or getattr(base, "seeds_each_env", False)
        seed = [int(s) for s in seeds] if each else int(seeds[0])
        obs, infos = self._call(self._reset_envs, seed)
        obs = self._checked(obs)
        self._resetting = np.zeros(self.num_envs, np.bool_)
        self._any_resetting = False
        self._statistics.restart(self._steps)
        if self._lives is not None:
            self._lives.restart(infos)
        return obs

    def step(self, actions: NDArray[Any]) -> Step:
        """Act everywhere once.

        Args:
            actions: ``[N]`` int64, counted from 0, or ``[N, D]`` float32, unclipped.

        Raises:
            EnvironmentFailure: an environment raised, died, hung or broke its contract; no step is possible after it.
            NumericError: a reward or an observation is not finite.
        """
        obs, rewards, terminated, truncated, infos = self._call(self._step_envs, actions)
        self._steps += 1
        ended = terminated | truncated
        if not self._any_resetting:
            valid = self._all_valid.copy()
        else:
            valid = ~self._resetting
            rewards = np.where(valid, rewards, 0.0)
            terminated &= valid
            truncated &= valid
        finite = np.isfinite(rewards)
        if np.count_nonzero(finite) != self.num_envs:
            self._reject("reward", int(finite.argmin()), rewards)
        obs = self._checked(obs)

        self._statistics.add(rewards)
        lost = self._lives.lost(infos) if self._lives is not None and infos else None
        final_rows, final_obs = self._no_rows, self._no_final
        any_ended = bool(np.count_nonzero(ended))
        if any_ended:
            truncated &= ~terminated
            final_rows = np.flatnonzero(truncated)
            if len(final_rows):
                final_obs = self._final_observations(final_rows, obs, infos)
            # NEXT_STEP spends a step on the reset
            self._statistics.finish(terminated | truncated, self._steps, self._mode is AutoresetMode.NEXT_STEP)
            if self._mode is AutoresetMode.DISABLED:
                obs, infos = self._call(self._reset_ended, ended)
                obs = self._checked(obs)
                if self._lives is not None:
                    self._lives.lost(infos)  # the new games' lives
        if self._mode is AutoresetMode.NEXT_STEP:
            self._resetting, self._any_resetting = ended, any_ended
        if lost is not None:  # after the episodes: the game goes on
            terminated |= lost & valid & ~ended

        learned = np.sign(rewards) if self._clip_reward else rewards
        return Step(obs, learned.astype(np.float32), terminated, truncated, valid, final_rows, final_obs)

    def drain_episodes(self) -> list[Episode]:
        """Episodes finished since the last call, in order of (step, environment)."""
        return self._statistics.drain()

    def close(self, terminate: bool = False) -> None:
        """Leave no process behind; ``terminate``, or an earlier failure, does not wait for the environments."""
        if terminate or self._broken:
            force_close(self.envs)
        else:
            self.envs.close()

    # ---- one per autoreset mode or backend ----

    def _step_envs(self, actions: NDArray[Any]) -> Any:
        actions = self._to_env(actions)
        if self._timeout is None or not self._waits:
            obs, rewards, terminated, truncated, infos = self.envs.step(actions)
        else:
            self.envs.step_async(actions)  # type: ignore[attr-defined]
            obs, rewards, terminated, truncated, infos = self.envs.step_wait(timeout=self._timeout)  # type: ignore[attr-defined]
        rewards = np.asarray(rewards, np.float64)
        # The flags are changed here and kept by the caller: copies.
        terminated, truncated = np.array(terminated, np.bool_), np.array(truncated, np.bool_)
        if not rewards.shape == terminated.shape == truncated.shape == (self.num_envs,):
            shapes = f"{rewards.shape}, {terminated.shape} and {truncated.shape}"
            raise EnvironmentFailure(f"rewards and flags have shapes {shapes}; each must be ({self.num_envs},)")
        return np.asarray(obs), rewards, terminated, truncated, infos

    def _reset_envs(self, seed: Any, options: dict[str, Any] | None = None) -> Any:
        if self._timeout is None or not self._waits:
            obs, infos = self.envs.reset(seed=seed, options=options)
        else:
            self.envs.reset_async(seed=seed, options=options)  # type: ignore[attr-defined]
            obs, infos = self.envs.reset_wait(timeout=self._timeout)  # type: ignore[attr-defined]
        return np.asarray(obs), infos

    def _reset_ended(self, ended: NDArray[np.bool_]) -> Any:
        return self._reset_envs(None, {"reset_mask": ended})

    def _final_observations(self, rows: NDArray[np.intp], obs: NDArray[Any], infos: dict[str, Any]) -> NDArray[Any]:
        """The observations that ended the truncated rows: ``[K, *obs]``, a copy."""
        if self._mode is not AutoresetMode.SAME_STEP:
            return obs[rows]
        final: Any = self._final_buffer
        if final is None:
            if "final_obs" not in infos:
                self._broken = True
                raise EnvironmentFailure(f"{self.envs} resets in the same step but gives no infos['final_obs']")
            final = infos["final_obs"]  # [N] of object, None elsewhere (Gymnasium's own), or [N, *obs] (ale-py)
        finals = np.stack([np.asarray(final[row], obs.dtype) for row in rows])
        if self._check_finite:
            for row, last in zip(rows, finals, strict=True):
                if not np.isfinite(last).all():
                    self._reject("final observation", int(row), final)
        return finals

    # ---- what every call and every result goes through ----

    def _call(self, function: Callable[..., Any], argument: Any) -> Any:
        if self._broken:
            # After a timeout a late answer would be taken for the next step's: every result off by one action.
            raise EnvironmentFailure("the environments failed before; close them and make new ones")
        try:
            return function(argument)
        except A2CError:
            self._broken = True
            raise
        except Exception as error:
            self._broken = True
            when = "reset" if function == self._reset_envs else f"step {self._steps + 1}"
            raise as_failure(error, self.envs, when) from error

    def _checked(self, obs: NDArray[Any]) -> NDArray[Any]:
        if obs.shape != self._shape:
            self._broken = True
            raise EnvironmentFailure(f"observations have shape {obs.shape}, their space says {self._shape}")
        if self._check_finite:
            finite = np.isfinite(obs)
            if np.count_nonzero(finite) != obs.size:
                self._reject("observation", int(finite.reshape(self.num_envs, -1).all(axis=1).argmin()), obs)
        return obs

    def _reject(self, what: str, row: int, values: NDArray[Any]) -> None:
        self._broken = True
        raise NumericError(
            f"environment {row} gave the {what} {np.array2string(values[row], threshold=8)} in step {self._steps}; "
            "every one must be finite"
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
