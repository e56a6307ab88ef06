"""One step semantics for vector environments on the device, and the checks of their contract.

docs/device_environments.md has the contract. :class:`a2c.envs.lockstep.LockstepEnvs` does the same on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.experimental.functional import FuncEnv
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from a2c.envs.action_door import action_door
from a2c.envs.backends import autoreset_mode
from a2c.envs.device.capturable import capturable
from a2c.envs.failures import abandon, as_failure
from a2c.envs.foreign import close_in_time, users_own
from a2c.envs.make_vector_env import check_evaluation, make_registered
from a2c.envs.rebuilding.calls import Call
from a2c.envs.spaces import spaces_of
from a2c.errors import A2CError, ConfigError
from a2c.machine.processes.foreign_code import foreign, of_others
from a2c.settings.config import EnvConfig
from a2c.storage.plain import plain

AnyVectorEnv = VectorEnv[Any, Any, Any]


@dataclass(slots=True)
class DeviceStep:
    """One lockstep step of N environments, as they gave it; valid until the next step."""

    obs: Tensor  # [N, *obs]  where the next step starts
    rewards: Tensor  # [N]
    terminated: Tensor  # [N]
    truncated: Tensor  # [N]
    final_obs: Tensor | None  # [N, *obs]  of the rows that ended, anything elsewhere; None: NEXT_STEP, obs is final
    infos: Mapping[str, Any]


class DeviceEnvs:
    """N environments in lockstep whose arrays never leave the device.

    Args:
        envs: a vector environment that keeps the contract.
        device: where its arrays must be.

    Raises:
        ConfigError: it resets neither in the same nor in the next step, or its spaces are not supported.
    """

    def __init__(self, envs: AnyVectorEnv, device: torch.device) -> None:
        self.envs = envs
        self.num_envs: int = envs.num_envs
        self.spaces = spaces_of(envs.single_observation_space, envs.single_action_space)
        self.observation_space: Space[Any] = envs.single_observation_space
        self.action_space: Space[Any] = envs.single_action_space
        self.mode = autoreset_mode(envs)
        if self.mode is AutoresetMode.DISABLED:
            raise ConfigError(f"vectorization=device: {envs} has autoreset mode DISABLED; SAME_STEP and NEXT_STEP work")
        self.device = torch.empty(0, device=device).device  # with its index
        get, put = getattr(envs, "get_state", None), getattr(envs, "set_state", None)
        self._state_door = (get, put) if callable(get) and callable(put) else None
        self._no_state = "" if self._state_door else "the environments have no get_state and set_state"
        self._rows = (self.num_envs,)
        self._shape = (self.num_envs, *(self.observation_space.shape or ()))
        self._to_env = action_door(self.action_space).on(self.device)
        self._steps = 0
        self._foreign = torch.inference_mode(mode=False)  # the collector's is not theirs: they may have gradients
        # In NEXT_STEP the host counts the transitions of every rollout, so there is no graph to leave it out of.
        self._capturable = envs if capturable(envs) and self.mode is AutoresetMode.SAME_STEP else None

    @property
    def changing(self) -> Sequence[Tensor] | None:
        """Every tensor that a step changes, where a CUDA graph can repeat steps; None: it cannot."""
        return None if self._capturable is None else self._capturable.changing

    def draw(self, steps: int) -> None:
        """Draw what the next ``steps`` steps need; before every rollout, outside graphs."""
        if self._capturable is not None:
            try:
                with self._foreign:
                    self._capturable.draw(steps)
            except BaseException as error:
                if users_own(error):
                    raise
                raise as_failure(error, self.envs, f"draw before step {self._steps + 1}") from error

    def begin(self) -> None:
        """The next step is the first of those that :meth:`draw` was for."""
        if self._capturable is not None:
            with self._foreign:
                self._capturable.begin()

    def state_dict(self) -> Any:
        """All that the environments' future depends on, between two rollouts; None where they do not tell.

        Raises:
            EnvironmentFailure: they raised.
        """
        if self._state_door is None:
            return None
        try:
            return self._state_door[0]()
        except Exception as error:
            raise as_failure(error, self.envs, "get_state") from error

    def load_state_dict(self, state: Any) -> None:
        """Go on from a state, after a reset; raises as :meth:`state_dict`."""
        assert self._state_door is not None
        try:
            self._state_door[1](state)
        except Exception as error:
            raise as_failure(error, self.envs, "set_state") from error

    def call(self, call: Call) -> list[Any]:
        """Call a method of the vector environment itself; returns what it gave, alone; raises as :meth:`state_dict`."""
        try:
            with self._foreign:
                return [of_others(getattr(self.envs, call.name), *call.args, **call.kwargs)]
        except BaseException as error:
            if users_own(error):
                raise
            raise as_failure(error, self.envs, f"the call of {call.name!r}") from error

    def no_state(self) -> str:
        """Say why episodes in flight cannot go on in a resumed run; empty if they can."""
        return self._no_state

    def try_out(self, seed: int) -> None:
        """Before the first reset, see whether they tell their state as plain data; if not, nobody asks again."""
        self.reset(seed)
        if self._state_door is not None:
            try:
                self._state_door[1](plain(self._state_door[0]()))
            except Exception as error:  # the methods may be meant for something else
                text = " ".join(str(error).split())
                self._state_door, self._no_state = None, f"get_state and set_state: {type(error).__name__}: {text}"

    def reset(self, seed: int) -> Tensor:
        """Start a new episode everywhere.

        Returns:
            ``[N, *obs]`` first observations.

        Raises:
            EnvironmentFailure: the environments raised.
            ConfigError: they broke the contract.
        """
        try:
            obs, _ = of_others(self.envs.reset, seed=seed)
        except BaseException as error:
            if users_own(error) or isinstance(error, A2CError):
                raise
            raise as_failure(error, self.envs, "reset") from error
        return self._tensor("observations", obs, self._shape)

    def step(self, actions: Tensor) -> DeviceStep:
        """Step every environment once; nothing waits for the device.

        Args:
            actions: ``[N]`` int64, counted from 0, or ``[N, D]`` float32, unclipped.

        Raises: as :meth:`reset`.
        """
        self._steps += 1
        try:
            with self._foreign:
                obs, rewards, terminated, truncated, infos = of_others(self.envs.step, self._to_env(actions))
        except BaseException as error:
            if users_own(error) or isinstance(error, A2CError):
                raise
            raise as_failure(error, self.envs, f"step {self._steps}") from error
        final_obs = None
        if self.mode is AutoresetMode.SAME_STEP:
            final_obs = self._tensor("infos['final_obs']", infos.get("final_obs"), self._shape)
        return DeviceStep(
            self._tensor("observations", obs, self._shape),
            self._tensor("rewards", rewards, self._rows),
            self._tensor("terminated", terminated, self._rows),
            self._tensor("truncated", truncated, self._rows),
            final_obs,
            infos,
        )

    def close(self, terminate: bool = False) -> None:
        """Close the environments; there is no process to wait for."""
        if foreign.gave_up:
            abandon(self.envs)
        else:
            close_in_time(self.envs.close, "the vector environment")

    def _tensor(self, name: str, array: Any, shape: tuple[int, ...]) -> Tensor:
        """An array of the environments as a tensor on the same memory."""
        if isinstance(array, Tensor):
            tensor = array
        elif hasattr(array, "__dlpack__") and not isinstance(array, np.ndarray):
            tensor = from_dlpack(array)
        else:
            kind = "nothing" if array is None else f"a {type(array).__name__}"
            raise self._broken(f"gave {kind} for {name}", "must be a torch tensor, or an array that supports DLPack")
        if tensor.device != self.device:
            raise self._broken(f"gave {name} on {tensor.device}", f"must be on {self.device}, where the learner is")
        if tensor.shape != shape:
            raise self._broken(f"gave {name} of shape {tuple(tensor.shape)}", f"must have shape {shape}")
        return tensor

    def _broken(self, what: str, rule: str) -> ConfigError:
        return ConfigError(f"vectorization=device: {self.envs} {what}; it {rule}")


def make_device_envs(env: EnvConfig, num_envs: int, device: torch.device) -> DeviceEnvs:
    """Make the vector environment that ``env.id`` registers, on a device.

    Args:
        env: which environment.
        num_envs: N.
        device: where the learner is.

    Raises:
        ConfigError: the id registers none, or it breaks the contract, or a single environment has other spaces.
        EnvironmentFailure: it could not be made.
    """
    envs = make_registered(env, num_envs, device=str(device))
    try:
        check_evaluation(env, envs)
        base = envs.unwrapped
        if isinstance(getattr(base, "func_env", None), FuncEnv):
            from a2c.envs.device.functional import FunctionalEnvs

            envs = FunctionalEnvs(base.func_env, num_envs, base.time_limit)  # type: ignore[attr-defined]
        return DeviceEnvs(envs, device)
    except BaseException:
        close_in_time(envs.close, env.id)
        raise
