"""The process that evaluates: it makes environments and network once, then plays whenever it is told to.

Torch is loaded once the process is a worker. That takes a second or two, in which Ctrl-C must not reach it any more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing.connection import Connection

from a2c.errors import A2CError
from a2c.machine.processes.failure_report import report_failure
from a2c.machine.processes.launch import Registered
from a2c.machine.processes.life import COMMAND, answer, become_worker, tell_failure
from a2c.machine.processes.pickles import Pickled, loads
from a2c.machine.processes.shared_arrays import SharedArrays
from a2c.settings.config import Config


@dataclass(slots=True)
class EvaluatorSpec:
    """All that the process needs to know."""

    cfg: Config
    make_network: Pickled  # () -> Network on the CPU
    episodes: int
    threads: int
    arrays: SharedArrays  # current, beats, stop and over, as a Player takes them
    registered: Registered  # environments that the main process registered
    environ: dict[str, str]
    parent_pid: int


def run_evaluator(spec: EvaluatorSpec, pipe: Connection, life_line: Connection) -> None:
    """Make environments and network, then evaluate when told to; report every exception to the main process."""
    become_worker(life_line, spec.parent_pid, spec.environ)
    try:
        spec.registered.register()
        _serve(spec, pipe)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the main process is gone
    except BaseException as error:
        tell_failure(pipe, report_failure(error, None, 0, os.getpid(), "an evaluation"))


def _serve(spec: EvaluatorSpec, pipe: Connection) -> None:
    """Answer that all is made, then every "evaluate" with scores or what went wrong; end at "close"."""
    from a2c.playing.evaluator_player import Player

    player: Player | None = None
    try:
        board = (spec.arrays[name] for name in ("current", "beats", "stop", "over"))
        player = Player(spec.cfg, spec.make_network.open(), spec.episodes, spec.threads, *board)
        answer(pipe, None)
    except A2CError as error:
        answer(pipe, error)
    while os.read(pipe.fileno(), 1) == COMMAND:
        name, data = loads(pipe.recv_bytes())
        if name == "close" or player is None:
            break
        answer(pipe, player.play(*data))
    if player is not None:
        player.close()
