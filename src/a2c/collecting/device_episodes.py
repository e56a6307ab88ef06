"""Statistics of episodes on the device, and the only place where the host reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from a2c.errors import NumericError

KINDS = ("reward", "observation")  # what is checked to be finite


@dataclass(frozen=True, slots=True)
class Ended:
    """Episodes that ended since the last read: how many, and the sums of their raw returns and lengths."""

    episodes: int
    reward: float
    length: float


class DeviceStatistics:
    """Returns and lengths of N environments' episodes, summed on the device until the host reads them.

    In a batch of thousands the latest hundred episodes are the shortest ones of the last step or two. Sums over all
    episodes since the last report are less biased, and take one read of a few numbers.

    Attributes:
        running: ``[2, N]``, return and length so far of the episodes in progress.
    """

    def __init__(self, num_envs: int, device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64  # Metal has no float64
        self.running = torch.zeros(2, num_envs, dtype=self._dtype, device=device)
        self._ended = torch.zeros(3, dtype=self._dtype, device=device)  # episodes, their returns, their lengths
        self._taint = torch.zeros(
            len(KINDS), num_envs, dtype=torch.float32, device=device
        )  # 0; NaN once a value was not finite

    @property
    def tensors(self) -> list[Tensor]:
        """What :meth:`add` and :meth:`check` change, in place."""
        return [self.running, self._ended, self._taint]

    def add(self, rewards: Tensor, done: Tensor, valid: Tensor | None) -> None:
        """Count the steps of a rollout; nothing waits for the device.

        Args:
            rewards: ``[T, N]`` raw, 0 in rows that are no transition.
            done: ``[T, N]`` bool, False in such rows.
            valid: ``[T, N]`` bool; None: all rows are transitions.
        """
        lengths = torch.ones_like(rewards) if valid is None else valid.to(rewards.dtype)
        totals = torch.stack((rewards, lengths)).to(self._dtype)
        totals[:, 0] += self.running
        totals = totals.cumsum(1)
        # The sum up to an environment's last end belongs to episodes that are over, the rest to the one in progress;
        # the ends in between cancel.
        order = torch.arange(1, len(done) + 1, device=done.device).unsqueeze(1)
        last = (done * order).amax(0)  # [N]  1 + the step of the last end, 0 if there was none
        over = totals.gather(1, (last - 1).clamp(min=0).expand(2, 1, -1)).squeeze(1) * (last > 0)
        torch.sub(totals[:, -1], over, out=self.running)
        self._ended += torch.cat((done.sum().view(1), over.sum(1)))

    def check(self, kind: str, values: Tensor) -> None:
        """Remember environments that gave a number that is not finite; nothing waits for the device.

        Args:
            kind: of :data:`KINDS`.
            values: ``[T, N, *]``; integers are always finite.
        """
        if values.is_floating_point():
            others = [axis for axis in range(values.ndim) if axis != 1]
            self._taint[KINDS.index(kind)].add_((values * 0).sum(others))  # NaN where any is not finite

    def drain(self) -> Ended:
        """Read and clear the sums; waits for the device."""
        episodes, reward, length = self._ended.tolist()
        self._ended.zero_()
        return Ended(int(episodes), reward, length)

    def refuse_the_infinite(self) -> None:
        """Waits for the device.

        Raises:
            NumericError: an environment gave a number that is not finite, at any step so far.
        """
        bad = self._taint.isnan()
        first = torch.where(bad.any(1), bad.int().argmax(1), -1).tolist()
        for kind, environment in zip(KINDS, first, strict=True):
            if environment >= 0:
                raise NumericError(
                    f"environment {environment} gave a {kind} that is not finite (after the last report); "
                    f"every {kind} must be finite"
                )


class EpisodeMeans:
    """Means over the episodes that ended since the last report, or those of the report before if none did.

    Attributes:
        count: of all episodes that ended.
    """

    def __init__(self) -> None:
        self.count = 0
        self._means: dict[str, float] = {}
        self._pending = Ended(0, 0.0, 0.0)  # since the last report

    def add(self, ended: Ended) -> None:
        """Count episodes that have ended."""
        before = self._pending
        sums = (before.episodes + ended.episodes, before.reward + ended.reward, before.length + ended.length)
        self._pending = Ended(*sums)
        self.count += ended.episodes

    def report(self) -> dict[str, float]:
        """Mean raw return and length, absent before the first episode ends, and the count of all."""
        ended, self._pending = self._pending, Ended(0, 0.0, 0.0)
        if ended.episodes:
            means = (ended.reward / ended.episodes, ended.length / ended.episodes)
            self._means = dict(zip(("rollout/ep_rew_mean", "rollout/ep_len_mean"), means, strict=True))
        return {"rollout/episodes": self.count, **self._means}

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        pending = self._pending
        return {"means": self._means, "pending": [pending.episodes, pending.reward, pending.length]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`; the count is the caller's to set."""
        self._means, self._pending = state["means"], Ended(*state["pending"])
