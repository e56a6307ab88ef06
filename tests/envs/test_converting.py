"""Observations and actions of every known space, and back."""

from __future__ import annotations

import json
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text, Tuple, flatten

from a2c.envs.converting.actions import Unpacker
from a2c.envs.converting.images import Reading, layout_of, symbols_of_cells
from a2c.envs.converting.observations import Flattener
from a2c.envs.converting.plain_spaces import from_plain, left_out, to_plain
from a2c.envs.single.make_env import _observations
from a2c.envs.spaces import Spaces, spaces_of
from a2c.errors import ConfigError
from a2c.machine.processes.failure_report import ContractError
from a2c.machine.processes.pickles import loads
from a2c.playing.conversion import Conversion

NESTED = Dict(
    {
        "b": Tuple((Discrete(3, start=-1), Box(-1, 1, (2, 2), np.float64))),
        "a": MultiDiscrete([2, 4], start=[1, 5]),
        "c": MultiBinary((2, 3)),
        "d": Box(0, 9, (2,), np.int16),
    }
)
KNOWN = [
    Discrete(5),
    Discrete(4, start=7),
    MultiDiscrete([3, 2]),
    MultiDiscrete(np.array([[2, 3], [4, 2]])),
    MultiBinary(4),
    Box(-2, 3, (2, 3), np.float64),
    Tuple((Discrete(2), Discrete(3))),
    NESTED,
]


@pytest.mark.parametrize("space", KNOWN, ids=str)
def test_vectors_are_gymnasiums(space: Space[Any]) -> None:
    space.seed(3)
    flattener = Flattener(space)
    for _ in range(20):
        value = space.sample()
        vector = flattener(value)
        np.testing.assert_array_equal(vector, flatten(space, value).astype(np.float32))
        assert vector.dtype == np.float32
        assert flattener.space.contains(vector)


def test_a_dict_of_vectors_is_joined_whatever_holds_their_numbers_and_checked_part_by_part() -> None:
    flattener = Flattener(Dict({"near": Box(-9, 9, (2,), np.float32), "far": Box(-9, 9, (1,), np.float32)}))
    far, near = np.array([3], np.float32), np.array([1, 2], np.float32)
    for join in (flattener, flattener.for_one_thread()):
        first = join({"near": np.zeros(2, np.float32), "far": far})
        for given in (
            {"near": near, "far": far},
            {"near": [1, 2], "far": [3.0]},
            {"near": near, "far": far.astype(float)},
            {"near": np.array([1, 9, 2], np.float32)[::2], "far": far.astype(">f4")},
        ):
            vector = join(given)
            assert (vector.tolist(), vector.dtype) == ([3, 1, 2], np.float32)  # Gymnasium sorts the keys
        assert first.tolist() == [3, 0, 0]  # what was given out stays as it was
        with pytest.raises(ContractError, match=r"a part of shape \(2,\); its space has \(1,\)"):
            join({"near": far, "far": near})  # as many numbers as there should be
        with pytest.raises(ContractError, match="without its part 'near'"):
            join({"far": far})
        with pytest.raises(ContractError, match="without its part 'far'"):
            join(near)


@pytest.mark.parametrize(
    "space",
    [one for one in KNOWN if not isinstance(one, Dict)]
    + [
        Dict(
            {"turn": MultiDiscrete([3, 3], start=[2, 2]), "push": Box(-1, 1, (2, 1), np.float64), "on": MultiBinary(2)}
        )
    ],
    ids=str,
)
def test_rows_stand_for_actions_of_the_spaces_own_kind(space: Space[Any]) -> None:
    unpack = Unpacker(space)
    unpack.space.seed(5)
    for _ in range(20):
        assert space.contains(unpack(unpack.space.sample()))


def test_a_row_is_counted_from_zero_and_clipped_in_the_spaces_own_dtype() -> None:
    unpack = Unpacker(Tuple((Discrete(3, start=-1), MultiBinary(2), Box(-0.1, 0.1, (1,), np.float64))))
    assert [part[0] for part in unpack.space.parts] == ["discrete", "binary", "continuous"]
    discrete, binary, push = unpack(np.array([2, 1, 0, 7], np.float32))
    assert (discrete, binary.tolist(), push.tolist()) == (1, [1, 0], [0.1])


def test_what_no_number_stands_for_is_left_out_and_nothing_but_it_is_an_error() -> None:
    flattener = Flattener(Dict({"mission": Text(5), "at": Discrete(2)}))
    assert flattener.space.parts == (("at", (2,)),)
    assert left_out(to_plain(flattener.space.original)) == ["mission"]
    assert flattener({"mission": "go", "at": 1}).tolist() == [0, 1]
    with pytest.raises(ConfigError, match="no part of it is made of numbers"):
        Flattener(Dict({"mission": Text(5)}))


def test_images_within_are_laid_out_with_their_colours_first() -> None:
    small, large = Box(0, 255, (3, 4, 2), np.uint8), Box(0, 255, (40, 36, 3), np.uint8)
    floats, grey = Box(0, 255, (2, 4, 4), np.float64), Box(0, 255, (3, 2), np.uint8)
    space = Dict({"floats": floats, "grey": grey, "large": large, "small": small, "turn": Discrete(2)})
    space.seed(4)
    flattener, value = Flattener(space), space.sample()
    assert flattener.space.parts == (
        ("floats", (2, 4, 4)), ("grey", (1, 3, 2)), ("large", (3, 40, 36)), ("small", (2, 3, 4)), ("turn", (2,)),
    )  # fmt: skip
    expected = [
        value["floats"].reshape(-1) / 255,
        value["grey"].reshape(-1),  # perhaps symbols
        value["large"].transpose(2, 0, 1).reshape(-1) / 255,
        value["small"].transpose(2, 0, 1).reshape(-1),
        np.eye(2)[value["turn"]],
    ]
    np.testing.assert_allclose(flattener(value), np.concatenate(expected), rtol=1e-6)
    assert flattener.space.contains(flattener(value))
    assert dict(Flattener(space, Reading("first")).space.parts)["small"] == (3, 4, 2)
    with pytest.raises(ContractError, match="of shape"):
        flattener(value | {"small": value["small"][:1]})


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (Discrete(3), 3),
        (Discrete(3), -1),
        (Discrete(3), 0.5),
        (MultiDiscrete([2, 2]), [0, 2]),
        (MultiBinary(2), [0, 1, 0]),
        (Dict({"a": Discrete(2)}), {"b": 0}),
        (Tuple((Discrete(2), Discrete(2))), (0,)),
    ],
)
def test_what_does_not_fit_its_space_is_refused(space: Space[Any], value: Any) -> None:
    with pytest.raises(ContractError):
        Flattener(space)(value)


@pytest.mark.parametrize("space", KNOWN, ids=str)
def test_plain_data_gives_the_same_space(space: Space[Any]) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(space)))) == space
    flat, packed = Flattener(space).space, loads(pickle.dumps(Flattener(space).space))
    assert packed == flat
    assert packed.original == space


class Shown(gym.Env[Any, Any]):
    """Gives one observation, of the space given."""

    def __init__(self, space: Space[Any], obs: Any) -> None:
        self.observation_space, self.action_space, self._obs = space, Discrete(2), obs

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._obs, {}


@pytest.mark.parametrize(
    ("low", "high", "shape", "dtype", "channels", "expected", "divisor"),
    [
        (0, 255, (5, 4, 3), np.uint8, "auto", (3, 5, 4), 1),
        (0, 255, (3, 5, 6), np.uint8, "auto", (3, 5, 6), 1),
        (0, 255, (8, 5, 5), np.uint8, "auto", (8, 5, 5), 1),
        (0, 255, (5, 5, 8), np.uint8, "auto", (8, 5, 5), 1),
        (0, 255, (4, 4, 3), np.uint8, "first", (4, 4, 3), 1),
        (0, 255, (4, 4, 2), np.uint8, "last", (2, 4, 4), 1),
        (0, 255, (5, 4), np.uint8, "auto", (1, 5, 4), 1),
        (0, 255, (2, 5, 4, 3), np.uint8, "auto", (6, 5, 4), 1),
        (0, 1, (5, 4, 3), np.float32, "auto", (3, 5, 4), 1),
        (0, 255, (5, 4, 1), np.float64, "auto", (1, 5, 4), 255),
        (-1, 1, (5, 4, 3), np.float32, "auto", (60,), 1),
        (0, 1, (5, 4), np.float32, "auto", (20,), 1),
    ],
)
def test_images_come_channels_first(
    low: int, high: int, shape: tuple[int, ...], dtype: Any, channels: str, expected: tuple[int, ...], divisor: int
) -> None:
    space = Box(low, high, shape, dtype)
    value = space.sample()
    env = _observations(Shown(space, value), Reading(channels))
    obs, _ = env.reset()
    assert env.observation_space.shape == expected
    assert env.observation_space.contains(obs)
    if len(expected) == 3:
        stack = value if value.ndim == 4 else value[None]
        wanted = stack.reshape(expected)
        if shape[-1] == expected[0] // len(stack) and len(shape) > 2 and shape != expected:
            wanted = np.concatenate(np.moveaxis(stack, -1, 1))
        np.testing.assert_allclose(obs, wanted / divisor, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "grid", "expected"),
    [
        ("last", [[[2, 1]], [[0, 0]]], [0, 0, 1, 0, 1, 1, 0, 0, 1, 0]),  # [2, 1, C]: cell after cell
        ("first", [[[2], [0]], [[1], [0]]], [0, 0, 1, 1, 0, 0, 0, 1, 1, 0]),  # [C, 2, 1]: channel after channel
        ("last", [[[[2, 1]], [[0, 0]]]] * 2, [0, 0, 1, 0, 1, 1, 0, 0, 1, 0] * 2),  # a stack of two
    ],
)
def test_symbols_of_a_grid_become_one_hot(channels: str, grid: list[Any], expected: list[int]) -> None:
    value = np.array(grid, np.uint8)
    space = Dict({"at": Discrete(2), "grid": Box(0, 255, value.shape, np.uint8)})
    flattener = Flattener(space, Reading(channels, (3, 2)))
    assert flattener.space.parts == (("at", (2,)), ("grid", (len(expected),)))
    assert flattener.space.symbols == (3, 2)
    vector = flattener({"at": 1, "grid": value})
    np.testing.assert_array_equal(vector, [0, 1, *expected])
    assert flattener.space.contains(vector)


def test_a_grid_without_channels_has_symbols_too() -> None:
    flattener = Flattener(Box(0, 255, (1, 3), np.uint8), Reading("auto", (2,)))
    np.testing.assert_array_equal(flattener(np.array([[1, 0, 1]], np.uint8)), [0, 1, 1, 0, 0, 1])


def test_a_symbol_beyond_those_that_were_said_is_named() -> None:
    flattener = Flattener(Box(0, 255, (2, 1, 2), np.uint8), Reading("last", (3, 2)))
    with pytest.raises(
        ContractError,
        match=r"returned 2 in an observation, beyond those of env\.symbols \(null: they",
    ):
        flattener(np.array([[[2, 1]], [[0, 2]]], np.uint8))


def test_only_small_images_of_bytes_hold_symbols() -> None:
    reading = Reading("last", (3,))
    images = {"large": Box(0, 255, (40, 40, 3), np.uint8), "floats": Box(0, 1, (2, 2, 3), np.float32)}
    space = Flattener(Dict(images), reading).space
    assert space.symbols == ()
    assert dict(space.parts) == {"large": (3, 40, 40), "floats": (3, 2, 2)}
    assert Flattener(Box(0, 255, (2, 1, 2), np.uint8), reading).space.symbols == ()  # its cells have two numbers


@pytest.mark.parametrize(
    ("shape", "channels", "last"),
    [
        ((7, 3, 3), "auto", True),
        ((3, 3, 3), "auto", True),
        ((3, 3, 3), "first", False),
        ((3, 7, 7), "auto", False),
        ((7, 7, 3), "first", None),
        ((4, 7, 3, 3), "auto", True),
        ((3, 3), "auto", None),
    ],
)
def test_the_numbers_of_a_cell_are_where_there_are_as_many_as_symbols(
    shape: tuple[int, ...], channels: str, last: bool | None
) -> None:
    space = Box(0, 255, shape, np.uint8)
    layout = layout_of(space, channels)
    assert layout is not None
    counts = symbols_of_cells(layout, Reading(channels, (11, 6, 4)))
    if last is None:
        assert counts is None
    else:
        assert counts is not None
        assert (counts if last else np.moveaxis(counts, -3, -1))[..., 0, :].reshape(-1, 3).tolist() == [[11, 6, 4]] * (
            counts.size // 3 // shape[-2 if last else -1]
        )


def test_a_policy_converts_grids_as_training_did() -> None:
    space = Dict({"grid": Box(0, 255, (2, 1, 2), np.uint8), "at": Discrete(3, start=1)})
    flattener = Flattener(space, Reading("last", (3, 2)))
    spaces = Spaces.from_dict(loads(pickle.dumps(spaces_of(flattener.space, Discrete(2)).to_dict())))
    assert spaces.obs_symbols == (3, 2)
    obs = {"grid": np.array([[[2, 1]], [[0, 0]]], np.uint8), "at": np.int64(2)}
    np.testing.assert_array_equal(Conversion(spaces).observations(obs), flattener(obs))
