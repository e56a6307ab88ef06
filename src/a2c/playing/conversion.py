"""Between an environment's own observations and actions, and those that a policy works with."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Space, Tuple

from a2c.envs.converting.actions import Unpacker
from a2c.envs.converting.images import Reading
from a2c.envs.converting.masks import KEY, mask_row
from a2c.envs.converting.observations import Flattener
from a2c.envs.converting.plain_spaces import Unread, from_plain
from a2c.envs.spaces import Spaces
from a2c.machine.processes.failure_report import ContractError


class Conversion:
    """What ``make_env`` does around an environment, for a loop that steps the environment itself.

    Args:
        spaces: of the environment, with the originals of what was converted.
    """

    def __init__(self, spaces: Spaces) -> None:
        self._shape, self._choices = spaces.obs_shape, spaces.choices if spaces.mask else ()
        self._original = None if spaces.obs_original is None else from_plain(spaces.obs_original)
        reading = Reading(spaces.obs_channels, spaces.obs_symbols)
        self._flatten = None if self._original is None else Flattener(self._original, reading)
        self._unpack = None if spaces.action_original is None else Unpacker(from_plain(spaces.action_original))

    def observations(self, obs: Any, mask: Any = None) -> Any:
        """An observation ``[*obs]`` or a batch ``[B, *obs]``, converted; as it is where there is nothing to convert.

        Args:
            obs: of the environment's own space, or converted already.
            mask: of legal actions, as the environment tells it, or one for each of a batch; None: the one in ``obs``,
                or all are legal.

        Raises:
            ValueError: it is neither of the environment's space nor converted, or the mask does not fit.
        """
        if not self._choices:
            if mask is not None:
                raise ValueError("the policy was trained without a mask of legal actions")
            return self._flattened(obs)
        if mask is None and self._converted(obs):
            return obs
        if isinstance(obs, dict) and KEY in obs:
            mask = obs[KEY] if mask is None else mask
            obs = {key: part for key, part in obs.items() if key != KEY}
        vectors = np.asarray(self._flattened(obs), np.float32)
        try:
            if vectors.ndim == 1:
                return np.append(vectors, mask_row(mask, self._choices))
            masks = [None] * len(vectors) if mask is None else list(mask)
            rows = [mask_row(one, self._choices) for one in masks]
            return np.concatenate([vectors, np.stack(rows)], 1)
        except ContractError as error:
            raise ValueError(f"the policy {error}") from None

    def _flattened(self, obs: Any) -> Any:
        if self._flatten is None or self._converted(obs):
            return obs
        assert self._original is not None
        try:
            count = _batch(self._original, obs)
            if count is None:
                return self._flatten(obs)
            return np.stack([self._flatten(_row(obs, index)) for index in range(count)])
        except (ContractError, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the observation is not of {self._original}: {error}") from None

    def actions(self, rows: np.ndarray, single: bool) -> Any:
        """Actions of the space's own structure, of one row or of a batch of rows."""
        if self._unpack is None:
            return rows
        return self._unpack(rows) if single else [self._unpack(row) for row in rows]

    def _converted(self, obs: Any) -> bool:
        return not isinstance(obs, dict | tuple) and np.shape(obs)[-1:] == self._shape


def _batch(space: Space[Any], obs: Any) -> int | None:
    """How many observations of a space there are; None: it is a single one."""
    if isinstance(space, Dict | Tuple):
        parts = space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces)
        found = [(part, obs[key]) for key, part in parts if not isinstance(part, Unread)]
        return _batch(*found[0]) if found else None
    shape = np.shape(obs)
    return shape[0] if len(shape) > len(space.shape or ()) else None


def _row(obs: Any, index: int) -> Any:
    if isinstance(obs, dict):
        return {key: _row(part, index) for key, part in obs.items()}
    if isinstance(obs, tuple):
        return tuple(_row(part, index) for part in obs)
    return obs[index]
