"""What people hold on to: names, commands, settings. A change here breaks somebody's script."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import a2c
from a2c.cli.commands import COMMANDS
from a2c.cli.evaluate import EvalCommand
from a2c.cli.flags import parse_flags
from a2c.cli.watch import WatchCommand
from a2c.settings.config import Config
from a2c.settings.hydra_keys import KEYS
from a2c.settings.resumed_settings import flatten
from a2c.settings.setting import settings

OLD_RUN = Path(__file__).parent / "fixtures" / "run_of_0_1"


def test_every_public_name_is_there() -> None:
    """Which these are, and their signatures: test_public_signatures.py."""
    for name in a2c.__all__:
        assert getattr(a2c, name).__name__ == name
        assert name in dir(a2c)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = a2c.trian


def test_whatever_a2c_raises_can_be_caught_by_one_name() -> None:
    with pytest.raises(a2c.A2CError, match="did you mean 'gamma'"):
        a2c.load_config("gama=0.9")


def test_the_commands_are_these() -> None:
    assert set(COMMANDS) == {"train", "eval", "watch", "runs", "show", "compare", "sweep", "replay", "doctor", "study"}


def test_the_commands_that_load_a_run_take_these_settings() -> None:
    common = {"run", "runs_dir", "seed", "episodes", "device", "env.id", "env.kwargs", "env.wrappers"}
    common |= {"network.make", "network.torso", "network.encoders"}
    assert {key for key, _, _ in settings(EvalCommand)} == common | {"deterministic"}
    assert {key for key, _, _ in settings(WatchCommand)} == common | {"render", "output"}


def test_the_options_are_these() -> None:
    flags = vars(parse_flags([]))
    assert set(flags) == {
        "overrides", "help", "multirun", "cfg", "resolve", "package", "info", "config_dir", "shell_completion",
        "hydra_help", "trust",
    }  # fmt: skip
    assert parse_flags(["--trust"]).trust is True


def test_of_hydras_settings_these_may_be_set() -> None:
    assert set(KEYS) == {
        "hydra.job.name", "hydra.job.chdir", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.verbose",
        "hydra/launcher", "hydra/sweeper",
    }  # fmt: skip


def test_every_setting_of_version_0_1_is_still_one() -> None:
    old = {key for key, _ in flatten(yaml.safe_load((OLD_RUN / ".hydra" / "config.yaml").read_text()))}
    now = {key for key, _, _ in settings(Config)}
    assert old <= now
    added = {"eval.apart", "eval.max_steps", "env.isolate", "env.restarts", "checkpoint.keep", "network.memory"}
    added |= {"env.wrappers", "env.reset_options", "env.symbols"}
    added |= {"env.channels", "env.masks", "policy.distribution", "policy.state_dependent_std", "policy.sde_steps"}
    added |= {"network.make", "network.encoders", "network.value_hidden_sizes", "network.layer_norm", "network.init"}
    added |= {"value_loss", "critic_lr", "normalize_value"}
    added |= {"stop_at", "log_info", "ranks", "rank_timeout", "deterministic_ranks"}
    scheduled = ("lr", "beta", "value_coef", "gae_lambda", "max_grad_norm")
    added |= {f"{name}_end" for name in scheduled} | {f"{name}_schedule" for name in scheduled[2:]}
    assert now - old == {"main_shard", "tf32", "network.memory_size"} | added
