"""``env.isolate=true``: an environment that takes its process with it does not take the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import a2c
from a2c.envs.choosing.plan import plan
from a2c.errors import ConfigError, EnvironmentFailure
from foreign_runs import SEEDS, saved, settings
from foreign_toys import Foreign

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("where", "fault", "said"),
    [
        ("constructor", "leave", r"worker 0 \(pid \d+, environment 0\) exited with code 0"),
        ("constructor", "crash", "was killed by SIGSEGV"),
        ("step", "leave", r"exited with code 0 while it ran environment [01]"),
        ("step", "crash", r"was killed by SIGSEGV while it ran environment [01]"),
        (
            "evaluation",
            "leave",
            r"the process of the evaluation \(pid \d+\) exited with code 0 while it ran",
        ),
        ("evaluation", "crash", r"the process of the evaluation .* was killed by SIGSEGV"),
    ],
)
def test_a_process_that_an_environment_ends_is_named_and_the_run_saved(
    tmp_path: Path, where: str, fault: str, said: str
) -> None:
    with pytest.raises(EnvironmentFailure, match=said):
        a2c.train(settings(tmp_path, "env.isolate=true", "env.restarts=0", where=where, fault=fault, seeds=SEEDS))
    if where != "constructor":  # which nothing came before
        assert saved(tmp_path)["state"]["env_steps"] >= 40


def test_isolation_changes_no_result_and_makes_no_environment_here(tmp_path: Path) -> None:
    here = a2c.train(settings(tmp_path / "here", "vectorization=sync"))
    before = Foreign.made
    apart = a2c.train(settings(tmp_path / "apart", "env.isolate=true", "gif=true"))
    assert Foreign.made == before
    assert (apart.eval_mean, apart.eval_std) == (here.eval_mean, here.eval_std)
    assert apart.gif is not None
    assert Path(apart.gif).exists()
    mine, theirs = (saved(tmp_path / name)["learner"]["model"] for name in ("here", "apart"))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_workers_of_a3c_are_isolation_enough(tmp_path: Path) -> None:
    before = Foreign.made
    with pytest.raises(EnvironmentFailure, match="was killed by SIGSEGV"):
        a2c.train(settings(tmp_path, "algo=a3c", "num_workers=1", "env.isolate=true", where="step", fault="crash"))
    assert Foreign.made == before


def test_a_single_environment_gets_a_worker_too(tmp_path: Path) -> None:
    chosen = plan(settings(tmp_path, "env.isolate=true", "num_envs=1"))
    assert (chosen.vectorization, chosen.num_workers, chosen.main_shard) == ("workers", 1, False)


@pytest.mark.parametrize(
    "other",
    ["vectorization=sync", "vectorization=native", "vectorization=device", "main_shard=true", "eval.apart=false"],
)
def test_what_needs_environments_in_this_process_is_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(ConfigError, match=f"{other} does not go with env.isolate=true"):
        settings(tmp_path, "env.isolate=true", other)
