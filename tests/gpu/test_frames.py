"""On a GPU: stacks of frames that the device builds inside its acting graph, from the newest frames alone.

Where there is no GPU they run on the CPU.
"""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from a2c.collecting.collector import Collector
from a2c.envs.frames import Frames
from a2c.envs.groups import EnvGroups
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.step import Step
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from builders import config, make_model
from envs.films import film
from gpu.test_cuda import graphs_on

DEVICE = torch.device(os.environ.get("A2C_GPU_TEST_DEVICE", "cuda" if torch.cuda.is_available() else "cpu"))
COUNT, T = 4, 5


class Recorded(LockstepEnvs):
    """Keeps a copy of all frames that came out, and stacks them in the obvious way."""

    def reset(self, seeds: Any) -> Any:
        newest = super().reset(seeds)
        self.stacks = [np.repeat(newest, COUNT, axis=1)]
        self.steps: list[Step] = []
        return newest

    def receive(self) -> Step:
        step = super().receive()
        stack = np.concatenate([self.stacks[-1][:, 1:], step.obs], axis=1)
        for row in step.began.nonzero()[0]:
            stack[row] = step.obs[row]
        self.stacks.append(stack)
        self.steps.append(dataclasses.replace(step, obs=step.obs.copy()))
        return step


@pytest.mark.parametrize("sizes", [(6,), (3, 3)], ids=["one group", "two groups"])
@pytest.mark.parametrize("in_workers", [False, True])
def test_the_device_stacks_frames_as_the_obvious_way_does(in_workers: bool, sizes: tuple[int, ...]) -> None:
    kind = partial(ShardedAsyncVectorEnv, num_workers=2) if in_workers else InProcessVectorEnv
    vector = [kind([partial(film, 1)] * size, copy=False, autoreset_mode="SameStep") for size in sizes]
    groups = [Recorded(one, frames=Frames(COUNT, repeated=True)) for one in vector]
    envs = EnvGroups(list(groups))
    try:
        cfg = config(num_envs=6, n_step=T)
        model = make_model(envs.spaces, cfg).to(DEVICE)
        collector = Collector(envs.groups, model, cfg, graphs=graphs_on(DEVICE), notify=pytest.fail)
        for update in range(8):
            rollout = collector.collect(update)
            for t in range(T + 1):
                expected = np.concatenate([group.stacks[T * update + t] for group in groups])
                np.testing.assert_array_equal(rollout.obs[t].cpu().numpy(), expected)  # type: ignore[call-overload]
            begin = 0
            for group, size in zip(groups, sizes, strict=True):
                for t, step in enumerate(group.steps[-T:]):
                    for row, final in zip(step.final_rows, step.final_obs, strict=True):
                        stack = np.concatenate([group.stacks[T * update + t][row, 1:], final])
                        with torch.no_grad():
                            value = model.value(torch.from_numpy(stack[None]).to(DEVICE))[0]
                        torch.testing.assert_close(rollout.final_values[t, begin + row], value, rtol=1e-3, atol=1e-4)
                begin += size
    finally:
        envs.close()
