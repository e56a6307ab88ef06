"""Slurm's commands for a machine that has none: ``sbatch`` runs a job's script here, once for each of an array.

What they keep lies in the folder ``$SLURM_STAND_IN``: ``NUMBER.state`` says what ``sacct`` tells of a job.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scontrol")


def install(folder: Path) -> dict[str, str]:
    """Put the commands into a folder; returns the environment variables by which programs find them."""
    folder.mkdir()
    for name in COMMANDS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        path.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SLURM_STAND_IN": str(folder)}


def sbatch(script: str) -> None:
    """Print the job's number; processes that outlive this one run the script, again and again while it is requeued."""
    text = Path(script).read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, re.MULTILINE))
    last = re.fullmatch(r"0-(\d+)%\d+", options.get("array", ""))
    nodes = options.get("nodes", "1")
    for index in range(int(last[1]) + 1) if last else [None]:
        number = "47" if index is None else f"47_{index}"
        environ = {"SLURM_JOB_ID": "47", "SLURM_JOB_NUM_NODES": nodes, "SLURM_NTASKS": nodes}
        environ |= {"SLURM_JOB_NODELIST": "localhost", "STAND_IN_NUMBER": number, "SLURM_NTASKS_PER_NODE": "1"}
        if index is not None:
            environ |= {"SLURM_ARRAY_JOB_ID": "47", "SLURM_ARRAY_TASK_ID": str(index)}
        state(number).write_text("RUNNING")
        subprocess.Popen(
            [sys.executable, __file__, "job", number, script], env=os.environ | environ, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    print("Submitted batch job 47")


def job(number: str, script: str) -> None:
    """Run a job until nobody asks for it again."""
    while True:
        subprocess.run(["bash", script], check=False)
        if state(number).read_text() != "REQUEUED":
            break
        state(number).write_text("RUNNING")
    state(number).write_text("COMPLETED")


def srun(*words: str) -> None:
    """Run a command once for each node, here."""
    at = words.index("--output")
    number, command = os.environ["STAND_IN_NUMBER"], words[words.index(sys.executable) :]
    tasks = []
    for task in range(int(os.environ["SLURM_NTASKS"])):
        name = words[at + 1].replace("%j", number).replace("%A_%a", number).replace("%t", str(task))
        with Path(name).open("a") as output:
            environ = {"SLURM_PROCID": str(task), "SLURM_NODEID": str(task), "SLURM_LOCALID": "0"}
            tasks.append(subprocess.Popen(command, env=os.environ | environ, stdout=output, stderr=output))
    for process in tasks:
        process.wait()


def sacct(*words: str) -> None:
    """Tell the state of every job."""
    print("JobID|State|NodeList")
    for path in sorted(Path(os.environ["SLURM_STAND_IN"]).glob("*.state")):
        print(f"{path.stem}|{path.read_text()}|localhost")


def scontrol(what: str, number: str) -> None:
    """Have a job start again once it has ended."""
    assert what == "requeue"
    state(number).write_text("REQUEUED")


def state(number: str) -> Path:
    return Path(os.environ["SLURM_STAND_IN"]) / f"{number}.state"


if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "sacct": sacct, "scontrol": scontrol, "job": job}[sys.argv[1]](*sys.argv[2:])
