"""What a checkpoint holds of an environment comes back as it was."""

from __future__ import annotations

import enum
import io
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, floating_dtypes, integer_dtypes

from a2c.storage.plain_data import packed, unpacked

numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
dtypes = integer_dtypes() | floating_dtypes(sizes=(16, 32, 64)) | st.just(np.dtype(bool))
leaves = numbers | arrays(dtypes, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
keys = st.text(max_size=3) | st.integers() | st.tuples(st.integers(), st.text(max_size=2))
trees = st.recursive(
    leaves,
    lambda part: st.lists(part, max_size=3) | st.lists(part, max_size=3).map(tuple) | st.dictionaries(keys, part),
    max_leaves=8,
)


def through_a_file(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(packed(value), file)
    file.seek(0)
    return unpacked(torch.load(file, weights_only=True))


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        alike = isinstance(other, np.ndarray) and one.dtype == other.dtype and one.shape == other.shape
        return alike and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and (one == other or one != one)


@given(trees)
def test_it_comes_back_through_a_file_that_holds_no_code(value: Any) -> None:
    assert equal(through_a_file(value), value)


def test_numbers_of_numpy_come_back_as_pythons_and_bytearrays_as_bytes() -> None:
    given = [
        np.float64(0.5),
        np.float32(0.5),
        np.int8(3),
        np.bool_(True),
        np.str_("x"),
        bytearray(b"x"),
        {np.int64(1): 2},
    ]
    found = through_a_file(given)
    assert found == [0.5, 0.5, 3, True, "x", b"x", {1: 2}]
    assert [type(part) for part in found] == [float, float, int, bool, str, bytes, dict]


def test_tensors_come_back_and_nothing_is_shared() -> None:
    tensor, array = torch.arange(3), np.arange(3)
    kept = packed([tensor, array])
    tensor += 1
    array += 1
    found = unpacked(kept)
    assert found[0].tolist() == found[1].tolist() == [0, 1, 2]
    found[1] += 1  # it is ours to write to


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), "a object"),
        ({1, 2}, "a set"),
        (1j, "a complex"),
        (Colour.RED, "a Colour"),
        (namedtuple("Point", "x")(1), "a Point"),
        (np.datetime64("2026-01-01"), "a datetime64"),
        (np.array(["x"]), "an array of dtype <U1"),
        (np.array([None]), "an array of dtype object"),
        (np.random.default_rng(), "a Generator"),
        ({"deep": [(np.longdouble(1),)]}, "a longdouble"),
    ],
)
def test_anything_else_is_refused_by_name(value: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"{kind} is no plain data"):
        packed(value)
