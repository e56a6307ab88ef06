"""Two machines, rehearsed on one: two of torch's agents with one rendezvous, of which one is killed and replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from a2c.storage.checkpoint import load_checkpoint
from rank_processes import LIGHT, a2c, assert_same_weights, children_of, ended, wait_for

STEPS = "total_steps=60000"


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def node(folder: Path, port: int, name: str, *torchrun: str) -> subprocess.Popen[str]:
    """An agent with one rank."""
    launcher = (
        *("-m", "torch.distributed.run", "--nproc-per-node=1", "--rdzv-backend=c10d", "--local-addr=127.0.0.1"),
        *(f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=a2c", "--max-restarts=3", *torchrun),
        *("-m", "a2c", "train", *LIGHT, f"runs_dir={folder}", STEPS, "resume=auto"),
    )
    environ = {
        **os.environ,
        "GLOO_SOCKET_IFNAME": "lo",
        "LOGLEVEL": "CRITICAL",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    with (folder.parent / f"{name}.txt").open("w") as said:
        return subprocess.Popen([sys.executable, *launcher], text=True, stdout=said, stderr=said, env=environ)


def listens(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def killed(agent: subprocess.Popen[str]) -> None:
    """A machine that is gone: the agent and its rank at once."""
    for pid in (agent.pid, *children_of(agent.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    agent.wait()


def steps(folder: Path) -> int:
    saved = list(folder.glob("*/*/checkpoints/last.pt"))
    return int(load_checkpoint(saved[0])["state"]["env_steps"]) if saved else 0


@pytest.mark.long
@pytest.mark.parametrize("nodes", ["--nnodes=2", "--nnodes=1:2"])
def test_a_machine_that_is_lost_is_replaced_and_the_run_goes_on(tmp_path, nodes):
    undisturbed = a2c(tmp_path / "two", STEPS, "ranks=2")
    runs, port = tmp_path / "runs", free_port()
    first = node(runs, port, "first", nodes)
    wait_for(lambda: listens(port))  # whoever listens has the rendezvous, and is not to be lost
    second = node(runs, port, "second", nodes)
    third = None
    try:
        wait_for(lambda: steps(runs) > 0)
        killed(second)
        before = steps(runs)
        third = node(runs, port, "third", nodes)
        codes = [first.wait(600), third.wait(600)]
    finally:
        for agent in (first, second, third):
            if agent is not None and agent.poll() is None:
                killed(agent)
    said = {name: (tmp_path / f"{name}.txt").read_text() for name in ("first", "second", "third")}
    assert codes == [0, 0], said
    assert len(list(runs.glob("CartPole-v1/*"))) == 1
    assert steps(runs) == 60_000 >= before
    assert ended(undisturbed)[0] == 0
    assert_same_weights(runs, tmp_path / "two", exactly=True)
