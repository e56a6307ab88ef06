"""profile=true leaves a trace that Perfetto and Chrome can read, with the parts of the loop in it."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import a2c
from a2c.run.timing.profiling import ACTIVE, WAIT, WARM_UP

RANGES = ("environment", "acting", "transfer", "update")
N, T = 4, 5


def train(runs: Path, updates: int, *overrides: str) -> a2c.Summary:
    return a2c.train(
        a2c.load_config(
            f"runs_dir={runs}", "env.id=envs.toys:Identity-v0", f"num_envs={N}", f"n_step={T}",
            f"total_steps={updates * N * T}", "log_every=1000", "eval.every=0", "eval.episodes=1",
            "eval.final_episodes=1", "gif=false", "wandb.mode=disabled", "vectorization=sync", *overrides,
        )
    )  # fmt: skip


def events(summary: a2c.Summary) -> list[dict[str, Any]]:
    assert summary.trace is not None
    with gzip.open(summary.trace) as file:
        found: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return found


def test_the_trace_holds_the_parts_of_the_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = train(tmp_path, WAIT + WARM_UP + ACTIVE + 3, "profile=true", "device=cpu")
    assert summary.trace == str(Path(summary.folder) / "trace.json.gz")
    found = events(summary)
    ranges = Counter(event["name"] for event in found if event.get("cat") == "user_annotation")
    assert ranges["update"] == ACTIVE  # warm-up left out
    assert ranges["environment"] == ACTIVE * T + ACTIVE  # each step's, and what is counted at the end of a rollout
    assert ranges["acting"] >= ACTIVE * T
    assert ranges["transfer"] >= ACTIVE
    updates = [event for event in found if event.get("name") == "update" and "dur" in event]
    sums = [event for event in found if event.get("name") == "aten::addmm"]
    inside = [s for s in sums if any(u["ts"] <= s["ts"] <= u["ts"] + u["dur"] for u in updates)]
    assert inside, "an update has no arithmetic in it"
    output = capsys.readouterr().out
    assert f"profiled {ACTIVE} updates; most time: " in output
    assert "trace.json.gz: open it at https://ui.perfetto.dev" in output


def test_a_run_that_is_too_short_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = train(tmp_path, 3, "profile=true", "device=cpu")
    assert summary.trace is None
    assert not (Path(summary.folder) / "trace.json.gz").exists()
    assert "profile=true: no trace, since it needs more than 13 updates" in capsys.readouterr().out


def test_a_run_that_ends_early_keeps_what_there_is(tmp_path: Path) -> None:
    summary = train(tmp_path, WAIT + WARM_UP + 2, "profile=true", "device=cpu")
    assert sum(event.get("name") == "update" for event in events(summary)) >= 1


def test_profiling_changes_no_number(tmp_path: Path) -> None:
    rows = []
    for profile in ("true", "false"):
        summary = train(tmp_path / profile, 20, f"profile={profile}", "device=cpu", "log_every=100")
        lines = (Path(summary.folder) / "metrics.jsonl").read_text().splitlines()
        rows.append([{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines])
    assert rows[0] == rows[1]
    assert summary.trace is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_trace_of_a_gpu_holds_its_kernels(tmp_path: Path) -> None:
    found = events(train(tmp_path, WAIT + WARM_UP + ACTIVE + 3, "profile=true", "device=cuda"))
    assert any(event.get("cat") == "kernel" for event in found)
    assert {event["name"] for event in found if event.get("cat") == "user_annotation"} >= set(RANGES)
