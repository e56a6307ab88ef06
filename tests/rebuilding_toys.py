"""Environments whose episodes can be rebuilt in one way, in another, or not at all. Importable in worker processes.

Registered here: ``env.id=rebuilding_toys:Dice-v0``.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Tuple

BOX = Box(-np.inf, np.inf, (3,), np.float32)


class Dice(gym.Env[Any, Any]):
    """A walk by luck and action; it ends, is cut and pays by luck, after some five steps. All luck is ``np_random``."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, continuous: bool = False) -> None:
        self.observation_space: Any = BOX
        self.action_space: Any = Box(-1, 1, (2,), np.float32) if continuous else Discrete(3)
        self.place = np.zeros(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.luck.normal(size=3)
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = 0.9 * self.place + self.luck.normal(size=3) + float(np.sum(action))
        ends, cut = self.luck.random(2)
        return self._obs(), float(self.place[0] + ends), bool(ends < 0.1), bool(cut < 0.1), {}

    @property
    def luck(self) -> np.random.Generator:
        return self.np_random

    def _obs(self) -> Any:
        return self.place.astype(np.float32)


class OwnDice(Dice):
    """All luck is a generator of its own, which no seed reaches."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.own = np.random.default_rng()

    @property
    def luck(self) -> np.random.Generator:
        return self.own


class KeptDice(OwnDice):
    """... but whose state it tells."""

    def get_state(self) -> Any:
        return {"own": self.own.bit_generator.state, "place": self.place.copy(), "raw": b"\0x", "pair": (1, None)}

    def set_state(self, state: Any) -> None:
        assert state["raw"] == b"\0x"
        assert state["pair"] == (1, None)
        self.own.bit_generator.state, self.place = state["own"], state["place"]


class UntoldDice(KeptDice):
    """... in a form that no checkpoint can hold."""

    def get_state(self) -> Any:
        return self.own

    def set_state(self, state: Any) -> None:
        self.own = state


class PartlyKeptDice(KeptDice):
    """... but for what matters."""

    def set_state(self, state: Any) -> None:
        self.place = state["place"]


class MisnamedDice(Dice):
    """Has a ``get_state`` and a ``set_state`` that are meant for something else."""

    def get_state(self, body: str) -> str:
        return body

    def set_state(self, body: str, state: str) -> None:
        raise AssertionError("nobody should call this")


class LeakyDice(Dice):
    """Its episodes depend on how many there were before, in the same instance."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.episodes += 1
        return super().reset(seed=seed)

    def _obs(self) -> Any:
        return super()._obs() + np.float32(self.episodes)


class LeakiestDice(LeakyDice):
    """... in any instance."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        LeakiestDice.episodes += 1
        return super().reset(seed=seed)


class LivingDice(Dice):
    """Tells how many lives are left."""

    lives = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.lives = 9
        return super().reset(seed=seed)[0], {"lives": self.lives}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        *found, _ = super().step(action)
        self.lives -= int(found[1] > 1)
        return (*found, {"lives": self.lives})  # type: ignore[return-value]


class OnlyDice(Dice):
    """There may be one instance only."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if taken:
            raise RuntimeError("the port is taken")
        taken.append(self)

    def close(self) -> None:
        taken.remove(self)


taken: list[OnlyDice] = []


class TreeDice(Dice):
    """Observes a dict with a tuple in it."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Dict({"place": BOX, "rest": Tuple((Discrete(9), Box(-9, 9, (2,), np.float64)))})

    def _obs(self) -> Any:
        symbol = np.int64(abs(int(self.place[0])) % 9)
        return {"place": super()._obs(), "rest": (symbol, np.clip(self.place[:2], -9, 9))}


class BreakingDice(Dice):
    """Does what ``fault`` says (``raise``, ``hang``) in step ``at`` of an instance, while ``folder/broken`` exists.

    So many instances as the file says are let pass before.
    """

    def __init__(self, folder: str, at: int, fault: str = "raise", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.broken, self.at, self.fault, self.steps = Path(folder) / "broken", at, fault, 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == self.at and self.broken.exists() and not self._passes():
            if self.fault == "hang":
                time.sleep(3600)
            raise ZeroDivisionError("the arm fell off")
        return super().step(action)

    def _passes(self) -> bool:
        with self.broken.open("r+") as counter:  # instances in other processes come here in the same moment
            fcntl.flock(counter, fcntl.LOCK_EX)
            left = int(counter.read() or 0)
            counter.seek(0)
            counter.truncate()
            counter.write(str(max(left - 1, 0)))
        return left > 0


KINDS: dict[str, Callable[..., Dice]] = {
    kind.__name__: kind
    for kind in (Dice, OwnDice, KeptDice, UntoldDice, PartlyKeptDice, MisnamedDice, LeakyDice, LeakiestDice, OnlyDice)
}
for name, kind in KINDS.items():
    gym.register(f"{name}-v0", kind)
gym.register("TreeDice-v0", TreeDice)
gym.register("LivingDice-v0", LivingDice)
gym.register("BreakingDice-v0", BreakingDice)
