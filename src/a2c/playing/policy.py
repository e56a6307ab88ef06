"""A trained policy that acts in any loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2c.envs.spaces import ObsLeaf
from a2c.maths.trees import Tree, leaves, tree_map
from a2c.network.emission import emission_of
from a2c.network.protocol import Network, device_of, remembers
from a2c.playing.conversion import Conversion
from a2c.playing.remembered import Remembered
from a2c.settings.config import Config


class Policy:
    """A trained policy that acts on NumPy observations, in any loop.

    :func:`a2c.load_policy` makes one of a run, ``progress.policy`` one of a run under way::

        import a2c
        import gymnasium as gym

        policy = a2c.load_policy("latest")
        env = gym.make(policy.cfg.env.id)
        obs, _ = env.reset(seed=0)
        policy.reset()  # an episode begins: a network with a memory forgets the one before
        total, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(policy.act(obs))
            total, over = total + reward, terminated or truncated

    Args:
        model: the network, on its device.
        cfg: the settings that it was trained with.
        path: the checkpoint that it came from, if any.
        env_steps: transitions that it was trained on.

    Attributes:
        model, cfg, path, env_steps: as above.
    """

    def __init__(self, model: Network, cfg: Config, path: Path | None = None, env_steps: int = 0) -> None:
        self.model, self.cfg, self.path, self.env_steps = model, cfg, path, env_steps
        self._device, self._door = device_of(model), model.spaces.door
        self._parts: Any = model.spaces.obs
        self._conversion = Conversion(model.spaces)
        self._emit = emission_of(model.distribution, model.spaces, self._device)
        self._generator = torch.Generator().manual_seed(cfg.seed)
        self._remembered = Remembered(model) if remembers(model) else None

    def reset(self, rows: Sequence[int] | None = None) -> None:
        """An episode begins: forget the one before. Without a memory this does nothing.

        Args:
            rows: of the batch, where episodes begin; None: in all, and the next batch may be of another size.
        """
        if self._remembered is not None:
            self._remembered.reset(rows)

    def act(self, obs: Any, deterministic: bool = True, rows: Sequence[int] | None = None, mask: Any = None) -> Any:
        """Action for one observation ``[*obs]``, or for a batch ``[B, *obs]``.

        Args:
            obs: as the environment gives it, images ``[C, H, W]``; or as an environment of
                :func:`a2c.envs.single.make_env.make_env` does.
            deterministic: the mode of the distribution; False draws a sample.
            rows: with a memory, whose turn it is, by index: for a batch of only some of the environments that act in
                turns. None: the same rows as before, in the same order.
            mask: of legal actions, as the environment tells it in ``info["action_mask"]`` or by ``action_masks()``,
                where it was trained with one; None: the one in ``obs``, or all are legal.

        Returns:
            What ``env.step`` takes: of the action space's own structure, shapes, dtypes and bounds. For a batch every
            array has a leading ``B``; actions of several parts are a list.

        Raises:
            ValueError: the observation has another shape than in training, or the mask does not fit; or, with a
                memory, the batch is of another size than before, and there was no :meth:`reset`.
        """
        chosen, single = self._chosen(self._conversion.observations(obs, mask), deterministic, rows)
        return self._conversion.actions(chosen[0] if single else chosen, single)

    def choose(self, obs: Any, deterministic: bool = True, rows: Sequence[int] | None = None) -> np.ndarray:
        """As :meth:`act`, for an environment of :func:`a2c.envs.single.make_env.make_env`, whose spaces are converted.

        Args:
            obs, deterministic, rows: as for :meth:`act`.

        Returns:
            ``[*action]``, or ``[B, *action]`` for a batch.
        """
        chosen, single = self._chosen(obs, deterministic, rows)
        return chosen[0] if single else chosen

    def _chosen(self, obs: Any, deterministic: bool, rows: Sequence[int] | None) -> tuple[np.ndarray, bool]:
        """Actions ``[B, *action]`` for converted environments, and whether there was a single observation."""
        batch, count, single = self._batch(obs)
        with torch.inference_mode():
            remembered = self._remembered
            params = self.model.policy(batch) if remembered is None else remembered.policy(batch, count, rows)
            if deterministic:
                action = self.model.distribution.mode(params)
            else:
                distribution = self.model.distribution
                uniform = torch.rand(count, distribution.noise_size, generator=self._generator, dtype=torch.float32)
                uniform = uniform.clamp(2.0**-24, 1 - 2.0**-24).to(self._device)
                action = distribution.sample(params, distribution.noise(uniform))
            if self._emit is not None:
                action = self._emit(action)
        return self._door(action.cpu().numpy()), single

    def value(self, obs: Any, rows: Sequence[int] | None = None) -> np.ndarray:
        """What the rest of the episode is worth, in the units of training rewards.

        With a memory, ask before :meth:`act` gets the observation: it is the value after what came before it, and
        asking leaves the memory as it is.

        Args:
            obs, rows: as for :meth:`act`.

        Returns:
            A number for one observation, ``[B]`` for a batch.

        Raises:
            ValueError: as in :meth:`act`.
        """
        batch, count, single = self._batch(self._conversion.observations(obs))
        with torch.inference_mode():
            remembered = self._remembered
            found = self.model.value(batch) if remembered is None else remembered.value(batch, count, rows)
            values = found.cpu().numpy()
        return values[0] if single else values

    def _batch(self, obs: Any) -> tuple[Tree, int, bool]:
        """``[B, *obs]`` on the device, a tree; B; and whether it was a single observation."""
        # Copies: torch takes neither read-only nor flipped arrays.
        if isinstance(self._parts, ObsLeaf):  # the fast path
            array = np.array(obs, self._parts.dtype)
            single = array.shape == self._parts.shape
            tensor = self._tensor(self._parts, array, single)
            return tensor, len(tensor), single
        arrays = tree_map(lambda part, one: np.array(one, part.dtype), self._parts, obs)
        single = all(leaves(tree_map(lambda part, array: array.shape == part.shape, self._parts, arrays)))
        tensors: Tree = tree_map(lambda part, array: self._tensor(part, array, single), self._parts, arrays)
        return tensors, len(leaves(tensors)[0]), single

    def _tensor(self, part: ObsLeaf, array: np.ndarray, single: bool) -> torch.Tensor:
        if not single and array.shape[1:] != part.shape:
            raise ValueError(f"observation has shape {array.shape}; the policy takes {part.shape} or a batch of it")
        return torch.from_numpy(array[None] if single else array).to(self._device)
