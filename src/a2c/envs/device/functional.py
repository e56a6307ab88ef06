"""Gymnasium's functional environments in JAX, stepped on the device as one compiled function.

These ids register ``FunctionalJaxVectorEnv``, but we do not step with it (Gymnasium 1.4): when any environment resets,
it puts all others back to their state before the step, so that their actions are lost. With thousands of environments
that is nearly every step. It also waits for the device to learn whether an episode ended.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.experimental.functional import FuncEnv
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

AnyFuncEnv = FuncEnv[Any, Any, Any, Any, Any, Any, Any]


class FunctionalEnvs(VectorEnv[Any, Tensor, Any]):
    """N copies of a functional environment, reset in the same step; it takes actions as tensors and gives JAX arrays.

    Args:
        func_env: already transformed by ``jax.vmap``.
        num_envs: N.
        time_limit: steps after which an episode is truncated; 0: never.
    """

    def __init__(self, func_env: AnyFuncEnv, num_envs: int, time_limit: int) -> None:
        self.num_envs, self.render_mode = num_envs, None
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = func_env.observation_space, func_env.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        def start(key: Any) -> tuple[Any, Any]:
            keys = jax.random.split(key, num_envs + 1)
            state = func_env.initial(rng=keys[1:])
            return (state, jnp.zeros(num_envs, jnp.int32), keys[0]), func_env.observation(state, keys[1:])

        def step(world: Any, actions: Any) -> tuple[Any, Any]:
            state, ages, key = world
            key, now, anew = jax.random.split(key, 3)
            keys, fresh_keys = jax.random.split(now, num_envs), jax.random.split(anew, num_envs)
            after = func_env.transition(state, actions, keys)
            rewards = func_env.reward(state, actions, after, keys)
            ages = ages + 1
            terminated = func_env.terminal(after, keys)
            truncated = ages >= time_limit if time_limit > 0 else jnp.zeros_like(terminated)
            done = terminated | truncated
            final_obs, fresh = func_env.observation(after, keys), func_env.initial(rng=fresh_keys)

            def chosen(new: Any, old: Any) -> Any:
                return jnp.where(done.reshape(num_envs, *[1] * (old.ndim - 1)), new, old)

            state = jax.tree_util.tree_map(chosen, fresh, after)
            obs = func_env.observation(state, keys)
            return (state, jnp.where(done, 0, ages), key), (obs, rewards, terminated, truncated, final_obs)

        self._start, self._step = jax.jit(start), jax.jit(step)
        self._world: Any = None

    def get_state(self) -> list[Any]:
        """All that the future depends on: the arrays of the world."""
        return [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(self._world)]

    def set_state(self, state: list[Any]) -> None:
        """Go on from a state of :meth:`get_state`; there has been a reset."""
        structure = jax.tree_util.tree_structure(self._world)
        self._world = jax.tree_util.tree_unflatten(structure, [jnp.asarray(leaf) for leaf in state])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode everywhere; returns ``[N, *obs]`` observations and no infos."""
        super().reset(seed=seed)
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._world, obs = self._start(jax.random.PRNGKey(seed))
        return obs, {}

    def step(self, actions: Tensor) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every environment once.

        Args:
            actions: ``[N]`` or ``[N, D]``.

        Returns:
            ``[N, *obs]`` observations, ``[N]`` rewards, terminated and truncated; ``infos["final_obs"]`` is
            ``[N, *obs]``, the observations before any reset.
        """
        actions = actions.contiguous() if actions.is_floating_point() else actions.int()  # JAX has no int64 by default
        self._world, (obs, rewards, terminated, truncated, final) = self._step(
            self._world, jax.dlpack.from_dlpack(actions)
        )
        return obs, rewards, terminated, truncated, {"final_obs": final}
