"""The worker processes: how they start, what they inherit, and that they leave with the process that started them."""

from __future__ import annotations

import copy
import gc
import importlib
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.machine.processes.launch import Late
from a2c.machine.processes.pickles import dumps_by_value, loads
from envs.sharded_toys import PATIENCE, DiceEnv, FaultyEnv, StepCounter, faulty
from envs.vector.test_sharded_trajectories import play, same

LINUX = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd to watch processes that are not ours")
PATHS = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
PREAMBLE = """
import numpy as np
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from envs.sharded_toys import faulty, wait_until_all_but
"""


def run_script(tmp_path: Path, body: str) -> subprocess.Popen[bytes]:
    """A Python process of its own session that runs ``body``; its output goes to a file."""
    script = tmp_path / "script.py"
    script.write_text(PREAMBLE + body)
    output = (tmp_path / "output").open("wb")
    with output:
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(script)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": PATHS},
            start_new_session=True,
        )


def output_of(process: subprocess.Popen[bytes], tmp_path: Path) -> str:
    assert process.wait(PATIENCE) is not None
    return (tmp_path / "output").read_text()


def wait_for(path: Path) -> list[int]:
    """The numbers that a script writes to ``path`` when it is ready."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.02)
    return [int(word) for word in path.read_text().split()]


def assert_ends(pidfds: list[int]) -> None:
    for pidfd in pidfds:
        ended, _, _ = select.select([pidfd], [], [], PATIENCE)
        os.close(pidfd)
        assert ended, "a process outlived its parent"


@LINUX
@pytest.mark.parametrize(
    ("fault", "context"),
    [("", "forkserver"), ("hang", "forkserver"), ("hang_in_c", "forkserver"), ("hang_in_c", "spawn"), ("hang", "fork")],
)
def test_workers_and_forkserver_leave_with_a_killed_parent(tmp_path: Path, fault: str, context: str) -> None:
    ready = tmp_path / "ready"
    body = f"""
import os, time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
if __name__ == "__main__":
    envs = ShardedAsyncVectorEnv(faulty(4, 1, 2, fault={fault!r}), num_workers=2, context={context!r})
    other = ShardedAsyncVectorEnv(faulty(1), num_workers=1, context={context!r})
    envs.reset()
    envs.step_async(np.zeros(4, np.int64))
    wait_until_all_but(envs, *{(1, 2) if fault else ()})
    pids = [worker.pid for worker in envs.processes + other.processes]
    if {context!r} == "forkserver":
        pids.append(forkserver._forkserver._forkserver_pid)
    Path("{ready}.new").write_text(" ".join(map(str, pids)))
    os.rename("{ready}.new", "{ready}")
    time.sleep(3600)
"""
    process = run_script(tmp_path, body)
    try:
        pidfds = [os.pidfd_open(pid) for pid in wait_for(ready)]
    finally:
        process.kill()
        process.wait()
    assert_ends(pidfds)


@LINUX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_whole_group_is_the_main_processes_business(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    body = f"""
import os, signal, time
from pathlib import Path
from typing import Any
heard = []
signal.signal({int(number)}, lambda *_: heard.append(1))
envs = ShardedAsyncVectorEnv(faulty(4), num_workers=2)
envs.reset()
Path("{ready}.new").write_text("1")
os.rename("{ready}.new", "{ready}")
while not heard:
    time.sleep(0.01)
time.sleep(0.2)
for _ in range(10):
    envs.step(np.zeros(4, np.int64))
envs.close()
print("went on")
"""
    process = run_script(tmp_path, body)
    wait_for(ready)
    os.killpg(process.pid, number)
    assert output_of(process, tmp_path) == "went on\n"


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "del envs"])
def test_a_script_may_end_without_closing(tmp_path: Path, end: str) -> None:
    process = run_script(tmp_path, f"envs = ShardedAsyncVectorEnv(faulty(4), num_workers=2)\nenvs.reset()\n{end}\n")
    assert output_of(process, tmp_path) == ""
    assert process.returncode == 0


def test_a_script_is_not_run_again_in_its_workers(tmp_path: Path) -> None:
    # No `if __name__ == "__main__"`, an environment, an exception and a registration that only the script knows.
    body = """
import gymnasium as gym
from envs.sharded_toys import StepCounter
print("script")
class Mine(StepCounter):
    def step(self, action):
        raise MyError("mine")
class MyError(Exception):
    pass
gym.register("Mine-v0", entry_point=Mine)
envs = ShardedAsyncVectorEnv([lambda: gym.make("Mine-v0", disable_env_checker=True)] * 2, num_workers=2)
envs.log_failures = False
envs.reset()
try:
    envs.step(np.zeros((2, 2), np.float32))
except MyError as error:
    print(error)
envs.close()
"""
    process = run_script(tmp_path, body)
    assert output_of(process, tmp_path) == "script\nmine\n"


def test_workers_import_no_torch_and_use_one_thread_each(tmp_path: Path) -> None:
    body = """
import sys
import os
import pickle
os.environ["A_VARIABLE"] = "as it is now"
sys.modules["torch"] = None  # even where the main process has it
envs = ShardedAsyncVectorEnv(faulty(2), num_workers=2)
print(envs.call("look", "torch"), envs.call("look", "numpy"))
print(envs.call("variable", "OMP_NUM_THREADS"), envs.call("variable", "A_VARIABLE"), os.environ.get("OMP_NUM_THREADS"))
envs.close()
"""
    environ = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        process = run_script(tmp_path, body)
    finally:
        if environ is not None:
            os.environ["OMP_NUM_THREADS"] = environ
    assert output_of(process, tmp_path) == (
        "(False, False) (True, True)\n('1', '1') ('as it is now', 'as it is now') None\n"
    )


@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_every_start_method_gives_the_same_trajectories(context: str) -> None:
    mode = AutoresetMode.SAME_STEP
    env_fns = [partial(DiceEnv, "dict")] * 3
    reference, envs = (
        SyncVectorEnv(env_fns, autoreset_mode=mode),
        ShardedAsyncVectorEnv(env_fns, autoreset_mode=mode, num_workers=2, context=context),
    )
    assert same(play(reference, mode, 20), play(envs, mode, 20))
    reference.close()
    envs.close()


def test_a_forked_copy_leaves_the_workers_alone() -> None:
    envs = ShardedAsyncVectorEnv(faulty(2), num_workers=2)
    envs.reset()
    pid = os.fork()
    if pid == 0:
        envs.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    envs.step(np.zeros(2, np.int64))
    envs.close()


@pytest.mark.parametrize("main_shard", [False, True])
def test_an_abandoned_vector_environment_takes_its_workers_along(main_shard: bool) -> None:
    envs = ShardedAsyncVectorEnv([StepCounter] * 3, num_workers=2, main_shard=main_shard)
    envs.reset()
    workers = envs.processes
    del envs
    gc.collect()
    assert [worker.is_alive() for worker in workers] == [False, False]


def test_close_closes_every_environment(tmp_path: Path) -> None:
    class Signed(StepCounter):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def close(self) -> None:
            (tmp_path / f"{self.name}-{os.getpid()}").touch()

    envs = ShardedAsyncVectorEnv([partial(Signed, name) for name in "abc"], num_workers=2)
    pids = [worker.pid for worker in envs.processes]
    envs.close()
    closed = {path.name for path in tmp_path.iterdir()}
    assert closed == {f"a-{os.getpid()}", f"a-{pids[0]}", f"b-{pids[0]}", f"c-{pids[1]}"}


@pytest.mark.parametrize("main_shard", [False, True])
def test_closing_gives_every_descriptor_back(main_shard: bool) -> None:
    def open_descriptors() -> int:
        gc.collect()
        return len(os.listdir("/dev/fd"))

    def once() -> None:
        envs = ShardedAsyncVectorEnv([partial(FaultyEnv)] * 4, num_workers=2, main_shard=main_shard)
        envs.reset()
        envs.step(np.zeros(4, np.int64))
        envs.close()

    once()  # the forkserver and the resource tracker stay
    before = open_descriptors()
    for _ in range(3):
        once()
    assert open_descriptors() == before


def test_a_registration_that_workers_cannot_find_harms_only_who_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module is known to this process alone."""
    (tmp_path / "only_here.py").write_text("import gymnasium\nclass Env(gymnasium.Env): pass\n")
    with monkeypatch.context() as path:
        path.syspath_prepend(tmp_path)
        env = importlib.import_module("only_here").Env
    monkeypatch.setitem(gym.registry, "Here-v0", gym.envs.registration.EnvSpec("Here-v0", env))
    envs = ShardedAsyncVectorEnv([partial(FaultyEnv)] * 2, num_workers=1)
    envs.reset()
    envs.close()


def test_workers_do_not_import_what_registered_environments_come_from_that_nobody_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may import torch, which takes seconds and hundreds of megabytes in each worker."""
    (tmp_path / "costly_to_import.py").write_text("import gymnasium\nclass Env(gymnasium.Env): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    env = importlib.import_module("costly_to_import").Env
    monkeypatch.setitem(gym.registry, "Costly-v0", gym.envs.registration.EnvSpec("Costly-v0", env))
    envs = ShardedAsyncVectorEnv([partial(FaultyEnv)] * 2, num_workers=1)
    envs.reset()
    assert envs.call("look", "costly_to_import") == (False, False)
    envs.close()


def test_what_makes_an_environment_travels_late_with_its_metadata() -> None:
    late = Late(dumps_by_value(StepCounter))
    assert copy.deepcopy(late).metadata is StepCounter.metadata
    assert isinstance(loads(pickle.dumps(late))(), StepCounter)


def test_registered_environments_are_known_to_workers() -> None:
    gym.register("ShardedTestCounter-v0", entry_point=StepCounter)
    try:
        envs = ShardedAsyncVectorEnv([partial(gym.make, "ShardedTestCounter-v0")] * 2, num_workers=1)
    finally:
        del gym.registry["ShardedTestCounter-v0"]
    envs.reset()
    envs.close()
