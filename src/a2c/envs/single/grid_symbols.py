"""Which grids hold symbols: those of MiniGrid and BabyAI, and of environments that are built on them."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym

from a2c.envs.converting.masks import WithoutMask
from a2c.settings.setting import AUTO

DIRECTIONS = 4  # the third number of a cell is a door's state or, where the agent is seen, its direction
# Wrappers that show something else than what is within, which still are MiniGrid's symbols.
KEEP_SYMBOLS = ("ImgObsWrapper", "FullyObsWrapper", "ViewSizeWrapper", "DirectionObsWrapper", "FrameStackObservation")


def symbols_of(env: gym.Env[Any, Any], given: Any) -> tuple[int, ...]:
    """How many symbols each number of a cell may be one of, in the grids that an environment shows; empty: brightness.

    Args:
        env: within ``env.wrappers``.
        given: ``env.symbols``; ``auto`` finds MiniGrid's object, colour and state, unless a wrapper changes what is
            seen.
    """
    if given != AUTO:
        return tuple(given or ())
    inner = env
    while isinstance(inner, gym.Wrapper):
        if _shows_something_else(inner):
            return ()
        inner = inner.env
    names = {f"{base.__module__}.{base.__name__}" for base in type(inner).__mro__}
    constants: Any = sys.modules.get("minigrid.core.constants")
    if constants is None or "minigrid.minigrid_env.MiniGridEnv" not in names:
        return ()
    objects, colours = (1 + max(table.values()) for table in (constants.OBJECT_TO_IDX, constants.COLOR_TO_IDX))
    return objects, colours, DIRECTIONS


def _shows_something_else(wrapper: gym.Wrapper[Any, Any, Any, Any]) -> bool:
    if isinstance(wrapper, WithoutMask) or type(wrapper).__name__ in KEEP_SYMBOLS:
        return False
    other_space = wrapper.observation_space is not wrapper.env.observation_space
    return isinstance(wrapper, gym.ObservationWrapper) or other_space
