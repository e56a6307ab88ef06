"""The coefficients of updates: numbers, or scalars on the device where captured or compiled code reads them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from a2c.maths.schedules import scheduled
from a2c.settings.config import Config


class Coefficients(NamedTuple):
    """Of one update."""

    lr: Tensor | float
    beta: Tensor | float
    value_coef: Tensor | float
    gae_lambda: Tensor | float
    max_grad_norm: Tensor | float | None


class Schedules:
    """The coefficients of every update, which depend on env steps alone.

    Args:
        cfg: the settings.
        device: where updates are captured or compiled, which would otherwise keep the first values; None: nowhere.

    Attributes:
        changing: names of those that are not constant.
    """

    def __init__(self, cfg: Config, device: torch.device | None = None) -> None:
        self._cfg = cfg
        self._constant = Coefficients(*(getattr(cfg, name) for name in Coefficients._fields))
        self.changing = [name for name in Coefficients._fields if getattr(cfg, f"{name}_schedule") != "constant"]
        self._held: dict[str, Tensor] = {}
        for name in () if device is None else {"lr": 0, "beta": 0} | dict.fromkeys(self.changing, 0):
            self._held[name] = torch.tensor(getattr(cfg, name), dtype=torch.float32, device=device)

    def at(self, env_steps: int) -> Coefficients:
        """As numbers, after so many env steps."""
        if not self.changing:
            return self._constant
        return self._constant._replace(**{name: self._value(name, env_steps) for name in self.changing})

    def held_at(self, env_steps: int) -> Coefficients:
        """As an update reads them: as :meth:`at`, or on the device, where no other memory ever holds them."""
        now = self.at(env_steps)
        if not self._held:
            return now
        for name in self.changing:  # a kernel takes the number as its argument: no copy, no wait
            self._held[name].fill_(getattr(now, name))
        return now._replace(**self._held)

    def _value(self, name: str, env_steps: int) -> float:
        cfg = self._cfg
        kind, end = getattr(cfg, f"{name}_schedule"), getattr(cfg, f"{name}_end")
        return scheduled(kind, getattr(cfg, name), env_steps, cfg.total_steps, end)
