"""Runs of a sweep are one group in W&B, unless its file says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.settings.compose import load_config
from a2c.sweeps import training
from a2c.sweeps.wandb_names import wandb_overrides


@pytest.mark.parametrize(
    ("folder", "tag"), [("trial-0007", "trial-0007"), ("trial-0007-seed12", "trial-0007"), ("a-seed-b", "a-seed-b")]
)
def test_the_sweep_names_the_group_and_the_trial_the_tag(folder: str, tag: str):
    found = load_config(*wandb_overrides(Path("runs/sweeps/it's 1") / folder)).wandb
    assert (found.group, found.tags) == ("it's 1", [tag])


def test_a_training_is_told_so_before_the_settings_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []

    class Process:
        def __init__(self, arguments: list[str], **_: object) -> None:
            told.extend(arguments[arguments.index("train") + 1 :])

        def wait(self, timeout: float | None = None) -> int:
            return 0

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(training.subprocess, "Popen", Process)
    (tmp_path / "mine").mkdir()
    assert training.train(tmp_path / "mine" / "trial-0001", ["env=cartpole", "wandb.group=own"], lambda: False) == 0
    cfg = load_config(*(text for text in told if not text.startswith(("hydra.", "runs_dir="))))
    assert (cfg.wandb.group, cfg.wandb.tags) == ("own", ["trial-0001"])
