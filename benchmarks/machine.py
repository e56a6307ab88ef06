"""The machine that a figure was measured on: goes into every result."""

from __future__ import annotations

from functools import partial

from a2c.study import machine

PACKAGES = ("torch", "gymnasium", "numpy", "ale-py", "box2d", "mujoco", "jax", "envpool", "stable-baselines3")
describe_machine = partial(machine.describe_machine, PACKAGES)
