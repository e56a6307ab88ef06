"""One run three ways, on the command line, in Python with names, and with objects: all leave the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import a2c
import network_toys
import own_toys
from a2c.cli import main
from a2c.storage.checkpoint import load_checkpoint
from builders import LIGHT
from registrations import forgetting_own
from sessions import differences, left_by

SHORT = (*LIGHT, "total_steps=100", "n_step=5", "eval.every=50")
ENV = "env.id=own_toys:Parts"  # a Dict
CHAIN = "env.wrappers=[{own_toys:Repeat:{times:2}},own_toys.shifted]"
OURS = {  # what of the network is a user's: the override, the same in Python, and what is handed over as an object
    "an encoder": ("network.encoders.place=network_toys:Part", {"encoders": {"place": "network_toys:Part"}}, None),
    "a torso": ("network.torso=network_toys:Ours", {"torso": "network_toys:Ours"}, None),
    "all of it": ("network.make=network_toys:pair", {}, network_toys.pair),
}


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with forgetting_own():
        yield


@pytest.mark.parametrize("part", OURS)
def test_with_names_and_objects_it_is_the_run_of_the_command_line(part: str) -> None:
    """An environment, its wrappers, a part of the network and a callback; the last has no name, and changes nothing."""
    override, changes, network = OURS[part]
    assert main(["train", ENV, CHAIN, override, *SHORT]) == 0
    expected = left_by(Path("runs/latest").resolve())
    named = a2c.train(a2c.load_config(ENV, CHAIN, override, *SHORT))
    cfg = a2c.load_config(*SHORT, env=own_toys.Parts)
    cfg.env.wrappers = [{"own_toys:Repeat": {"times": 2}}, "own_toys.shifted"]
    for key, value in changes.items():
        setattr(cfg.network, key, value)
    seen: list[int] = []
    handed_over = a2c.train(cfg, network=network, on_report=lambda progress: seen.append(progress.env_steps))
    for summary in (named, handed_over):
        assert differences(left_by(Path(summary.folder)), expected) == []
    settings = [load_checkpoint(Path(summary.last_checkpoint))["config"] for summary in (named, handed_over)]
    assert settings[0] == settings[1]
    assert seen == [row["global_step"] for row in expected["rows"]] != []
    assert len({summary.folder for summary in (named, handed_over)}) == 2
