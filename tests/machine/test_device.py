"""A device that is named is used or refused; only auto falls back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from a2c.api import load_config
from a2c.build import build, make_envs
from a2c.errors import ConfigError
from a2c.machine.cores import usable_cores
from a2c.machine.device import describe_device, resolve_device, set_threads, use_device


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 1, "cuda"),
        ("cpu", 1, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:0", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_that_is_there_is_used(monkeypatch, name, count, expected):
    gpus(monkeypatch, count)
    assert resolve_device(name) == torch.device(expected)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
def test_cuda_without_a_gpu_is_a_config_error(monkeypatch, name):
    gpus(monkeypatch, 0)
    with pytest.raises(ConfigError, match=rf"device={name}, but torch .* sees no CUDA device; try device=auto$"):
        resolve_device(name)


def test_a_gpu_beyond_the_last_is_a_config_error(monkeypatch):
    gpus(monkeypatch, 2)
    with pytest.raises(ConfigError, match=r"device=cuda:2, but torch sees 2 CUDA device\(s\)"):
        resolve_device("cuda:2")


class Cuda:
    """Notes what is set on a machine with two GPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gpus(monkeypatch, 2)
        self.device = self.matmul = None
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: setattr(self, "device", device))
        monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda name: setattr(self, "matmul", name))


@pytest.fixture
def convolutions() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("convolutions")
@pytest.mark.parametrize(("tf32", "matmul"), [(True, "high"), (False, "highest")])
def test_the_gpu_in_use_is_the_current_one_and_rounds_as_told(monkeypatch, tf32, matmul):
    """Graphs are captured on the current device: on another one they would be empty."""
    cuda = Cuda(monkeypatch)
    assert use_device("cuda:1", tf32=tf32) == torch.device("cuda:1")
    assert cuda.device == torch.device("cuda:1")
    assert cuda.matmul == matmul
    assert torch.backends.cudnn.allow_tf32 is tf32


@pytest.mark.usefixtures("convolutions")
def test_cuda_without_an_index_is_the_one_that_is_current_already(monkeypatch):
    cuda = Cuda(monkeypatch)
    use_device("cuda", tf32=True)
    assert cuda.device is None


def test_on_the_cpu_nothing_is_set(monkeypatch):
    cuda = Cuda(monkeypatch)
    use_device("cpu", tf32=True)
    assert (cuda.device, cuda.matmul) == (None, None)


def test_training_uses_its_device_before_it_makes_anything(monkeypatch):
    used = []
    monkeypatch.setattr("a2c.build.use_device", lambda name, tf32: used.append((name, tf32)) or torch.device("cpu"))
    cfg = load_config("env=cartpole", "device=cuda:1", "tf32=false", "num_envs=1", "wandb.mode=disabled")
    with make_envs(cfg) as envs:
        assert used == [("cuda:1", False)]
        build(cfg, envs)
    assert used == [("cuda:1", False)] * 2


def test_mps_without_metal_is_a_config_error(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device=mps, but torch .* sees no Metal device"):
        resolve_device("mps")


def test_the_start_panel_names_the_device(monkeypatch, threads):
    torch.set_num_threads(1)
    assert describe_device(torch.device("cpu")) == "cpu (1 thread)"
    torch.set_num_threads(3)
    assert describe_device(torch.device("cpu")) == "cpu (3 threads)"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla 1")
    assert describe_device(torch.device("cuda:1")) == "cuda:1 (Tesla 1)"
    assert describe_device(torch.device("mps")) == "mps"


@pytest.mark.parametrize(
    ("setting", "convolutions", "expected"), [(None, False, 1), (None, True, 5), (3, False, 3), (2, True, 2)]
)
def test_small_networks_take_one_thread_and_large_ones_all_cores(monkeypatch, threads, setting, convolutions, expected):
    monkeypatch.setattr("a2c.machine.device.usable_cores", lambda: 5)
    set_threads(setting, convolutions=convolutions)
    assert torch.get_num_threads() == expected


def test_usable_cores_are_those_of_this_process(monkeypatch):
    assert usable_cores() >= 1
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 4, 5}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert usable_cores() == 3  # a container's share, not the whole machine
    monkeypatch.delattr("os.sched_getaffinity")
    assert usable_cores() == 64


def test_threads_that_have_nothing_to_do_leave_the_cores_to_the_environments() -> None:
    code = "import os, sys, a2c; assert 'torch' not in sys.modules; print(os.environ['GOMP_SPINCOUNT'])"
    for given, expected in ((None, "20000"), ("7", "7")):
        environ = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
        environ |= {} if given is None else {"GOMP_SPINCOUNT": given}
        found = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == expected
