"""A graph is used only if it does what its function does, and whatever happens the machine is as it was."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from a2c.machine.graphs import Graphs, relative_error
from capturing import FakeCuda


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return FakeCuda(monkeypatch)


class Doubling:
    """Doubles a number, and counts how often it ran."""

    def __init__(self) -> None:
        self.number, self.runs = torch.ones(2), torch.zeros(())
        self.told: list[str] = []
        self.graphs = Graphs(self.told.append)

    @property
    def state(self) -> list[Tensor]:
        return [self.number, self.runs]

    def __call__(self) -> None:
        self.number.mul_(2)
        self.runs.add_(1)

    def captured(self) -> Any:
        return self.graphs.capture(self, self.state, "doubling")


def test_a_capture_counts_as_one_run_and_each_replay_as_one(cuda: FakeCuda) -> None:
    work = Doubling()
    again = work.captured()
    assert work.number.tolist() == [2, 2]
    assert work.runs == 1
    for _ in range(3):
        again()
    assert work.number.tolist() == [16, 16]
    assert work.runs == 4
    assert cuda.replays == 1 + 3  # one of them to compare
    assert work.told == []


def test_all_captures_share_one_stream_and_one_pool_and_let_other_threads_be(cuda: FakeCuda) -> None:
    graphs = Graphs(pytest.fail)
    for _ in range(3):
        number = torch.ones(1)
        graphs.capture(lambda number=number: number.add_(1), [number], "a sum")
    assert [pool for pool, _ in cuda.captures] == [((0, 1),)] * 3
    assert {options["capture_error_mode"] for _, options in cuda.captures} == {"thread_local"}
    assert cuda.current is cuda.first


def test_a_capture_that_fails_leaves_the_current_stream_and_the_results_and_says_so_once(cuda: FakeCuda) -> None:
    """torch.cuda.graph leaves its own stream the current one when ending the capture fails."""
    cuda.graph.ends = "operation not permitted when stream is capturing"
    work = Doubling()
    again = work.captured()
    assert again is work
    assert cuda.current is cuda.first
    assert not torch.cuda.default_generators[0].waiting  # type: ignore[attr-defined]
    assert work.number.tolist() == [2, 2]
    assert work.runs == 1
    again()
    assert work.number.tolist() == [4, 4]
    assert work.told == [
        "no CUDA graph for doubling: operation not permitted when stream is capturing; going on without it, slower"
    ]


def test_after_the_first_refusal_nothing_is_captured(cuda: FakeCuda) -> None:
    cuda.graph.ends = "no"
    work, other = Doubling(), Doubling()
    other.graphs = work.graphs
    work.captured()
    cuda.graph.ends = None
    assert other.captured() is other
    assert other.runs == 1
    assert len(cuda.captures) == 1
    assert len(work.told) == 1


def test_what_a_function_raises_within_its_capture_refuses_the_graph(cuda: FakeCuda) -> None:
    work, runs = Doubling(), []

    def waits() -> None:
        runs.append(1)
        if len(runs) == 6:  # after three runs to warm up, one for the results, and one that spoils what they left
            raise RuntimeError("Cannot copy between CPU and CUDA tensors during CUDA graph capture")
        work()

    assert work.graphs.capture(waits, work.state, "waiting") is waits
    assert work.number.tolist() == [2, 2]
    assert cuda.current is cuda.first
    assert work.told[0].startswith("no CUDA graph for waiting: Cannot copy between CPU and CUDA tensors during")


def test_a_graph_that_does_nothing_is_refused(cuda: FakeCuda) -> None:
    """As on the wrong device, where the work runs during the capture and the graph stays empty."""
    cuda.graph.eager = True
    work = Doubling()
    assert work.captured() is work
    assert work.number.tolist() == [2, 2]
    assert work.told == [
        "no CUDA graph for doubling: 2 of its 2 results differ from the plain ones, by 5.0e-01; "
        "going on without it, slower"
    ]


def test_nan_in_the_second_result_is_not_hidden_by_the_first(cuda: FakeCuda) -> None:
    work = Doubling()
    cuda.graph.after = staticmethod(lambda: work.runs.fill_(math.nan))
    assert work.captured() is work
    assert work.runs == 1
    assert "1 of its 2 results differ from the plain ones, by nan" in work.told[0]


def test_spoiled_numbers_are_valid_ones(cuda: FakeCuda) -> None:
    """On a GPU an index out of range would end the program, not the capture."""
    table, place, total = torch.arange(5.0), torch.tensor([0.0, 1.0, 4.0]), torch.zeros(3)

    def look_up() -> None:
        total.add_(table[place.long()])

    run = Graphs(pytest.fail).capture(look_up, [total], "looking up", [place])
    assert total.tolist() == [0, 1, 4]
    run()
    assert total.tolist() == [0, 2, 8]


def test_what_python_computes_anew_shows_as_a_difference(cuda: FakeCuda) -> None:
    told: list[str] = []
    number, calls = torch.zeros(3), []

    def drifts() -> None:
        calls.append(1)  # a graph does not run Python: it repeats what the call that was captured did
        number.fill_(float(len(calls)))

    assert Graphs(told.append).capture(drifts, [number], "a test") is drifts
    assert told == [
        "no CUDA graph for a test: 1 of its 1 results differ from the plain ones, by 5.0e-01; "
        "going on without it, slower"
    ]


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0),
        ([3.0, 4.5], [3.0, 4.0], 0.1),  # 0.5 / 5
        ([math.inf, math.nan, 4.0], [math.inf, math.nan, 4.0], 0.0),
        ([math.inf, 4.4], [math.inf, 4.0], 0.1),  # 0.4 / 4: what is infinite in both does not count
        ([math.inf, 4.0], [3.0, 4.0], math.inf),
        ([math.nan, 4.0], [3.0, 4.0], math.nan),
        ([1, 2], [1, 2], 0.0),
        ([False, True], [False, False], 1e12),  # against 1e-12, the least that counts as a norm
    ],
)
def test_the_error_of_a_tensor(found: list[float], expected: list[float], error: float) -> None:
    assert relative_error(torch.tensor(found), torch.tensor(expected)) == pytest.approx(error, nan_ok=True)
