"""A recorded trace: six small runs give the numbers that they gave when ``trace.json`` was written.

A change that is meant to keep behaviour keeps these bytes. One that is meant to change them writes the file anew, and
says why in its commit::

    python tests/test_trace.py
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2c

TRACE = Path(__file__).with_name("trace.json")
TOLERANCE = 1e-4  # relative, where another processor or library rounds otherwise
COMMON = (
    "total_steps=1200",
    "num_envs=4",
    "log_every=200",
    "eval.every=600",
    "eval.episodes=2",
    "eval.final_episodes=1",
    "checkpoint.every=600",
    "seed=3",
    "threads=1",
    "device=cpu",
    "wandb.mode=disabled",
    "gif=false",
)
RUNS = {
    "cartpole in this process": ("env=cartpole_study", "vectorization=sync"),
    "cartpole with workers": ("env=cartpole_study", "vectorization=workers", "num_workers=1", "main_shard=true"),
    "pendulum with all normalisers": (
        "env.id=Pendulum-v1",
        "algo=a2c_paper",
        *("n_step=16", "gamma=0.95", "gae_lambda=0.95", "beta=0"),
        *("optimizer=adam", "lr=5e-4", "lr_schedule=linear", "network.activation=relu"),
        "vectorization=sync",
        "normalize_obs=true",
        "normalize_reward=true",
        "normalize_advantage=true",
    ),
    "images": ("env.id=pictures:Side-v0", "algo=a2c_paper", "vectorization=sync", "num_envs=4", "n_step=8"),
    "a3c with one worker": ("env=cartpole_study", "algo=a3c", "num_envs=1", "num_workers=1", "vectorization=sync"),
    "environments on the device": ("env=cartpole_device", "total_steps=6400", "num_envs=32", "log_every=800"),
}
LAST_ROWS = 2


def record(overrides: tuple[str, ...], runs_dir: Path) -> dict[str, Any]:
    """Train; what came of it as numbers, and SHA-256 of all of it."""
    cfg = a2c.load_config(*COMMON, *overrides, f"runs_dir={runs_dir}")
    folder = Path(a2c.train(cfg).folder)
    rows = [
        {name: value for name, value in json.loads(line).items() if not name.startswith("time/")}
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    learner = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["learner"]
    return {
        "sha256": {
            "metrics": hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest(),
            "weights": _digest(learner["model"]),
            "optimizer": _digest(learner["optimizer"]),
        },
        "rows": len(rows),
        "last rows": rows[-LAST_ROWS:],
        "norms": {name: float(tensor.double().norm()) for name, tensor in learner["model"].items()},
    }


def machine() -> dict[str, str]:
    """What the last bits of a sum depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "processor": f"{platform.machine()} {model}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def flat(row: Mapping[str, Any]) -> dict[str, float]:
    """A row whose lists are numbers with names of their own."""
    found: dict[str, float] = {}
    for name, value in row.items():
        found |= {f"{name}/{i}": one for i, one in enumerate(value)} if isinstance(value, list) else {name: value}
    return found


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return sha.hexdigest()


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_recorded_numbers(name: str, tmp_path: Path, record_property: Any) -> None:
    recorded = json.loads(TRACE.read_text())
    expected, found = recorded["runs"][name], record(RUNS[name], tmp_path)
    if machine() == recorded["machine"]:
        compared = "bit for bit"
        assert found["last rows"] == expected["last rows"]  # first, because it can be read
        assert found["sha256"] == expected["sha256"]
    else:
        compared = f"to {TOLERANCE:g}: recorded on {recorded['machine']}, this is {machine()}"
        assert found["rows"] == expected["rows"]
        for one, other in zip(found["last rows"], expected["last rows"], strict=True):
            assert flat(one) == pytest.approx(flat(other), rel=TOLERANCE, abs=TOLERANCE)
        assert found["norms"] == pytest.approx(expected["norms"], rel=TOLERANCE, abs=TOLERANCE)
    record_property("compared", compared)
    print(f"{name}: compared {compared}")


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))  # env.id=pictures:Side-v0
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: record(overrides, Path(folder)) for name, overrides in RUNS.items()}
    TRACE.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")
    print(f"wrote {TRACE}")


if __name__ == "__main__":
    main()
