"""ale-py's vector environment with one seed per environment, as Gymnasium's own take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv


class NativeAtari(AtariVectorEnv):
    """Takes a list of seeds; the rest is ale-py's."""

    seeds_each_env = True
    sends = True  # ``send`` returns at once and ``recv`` waits (:class:`a2c.envs.backends.SendingBackend`)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return super().reset(seed=np.asarray(seed) if isinstance(seed, list) else seed, options=options)
