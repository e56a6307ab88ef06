"""One function maps over observations, whatever their parts."""

from __future__ import annotations

import pytest
import torch

from a2c.maths.trees import leaves, single, tree_map


def test_a_single_tensor_is_one_plain_call() -> None:
    tensor = torch.ones(2)
    assert tree_map(lambda x: x, tensor) is tensor
    assert leaves(tensor) == [tensor]
    assert single(tensor) is tensor


def test_nested_parts_keep_their_structure() -> None:
    tree = {"image": torch.tensor(1.0), "rest": (torch.tensor(2.0), {"deep": torch.tensor(3.0)})}
    doubled = tree_map(lambda a, b: float(a + b), tree, tree)
    assert doubled == {"image": 2.0, "rest": (4.0, {"deep": 6.0})}
    assert [float(leaf) for leaf in leaves(tree)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("other", [{"a": 1}, {"a": 1, "c": 2}])
def test_trees_of_another_structure_are_refused(other: dict[str, int]) -> None:
    with pytest.raises(KeyError):
        tree_map(lambda a, b: a, {"a": 1, "b": 2}, other)
    with pytest.raises(ValueError, match="zip"):
        tree_map(lambda a, b: a, (1, 2), (1, 2, 3))


def test_several_parts_where_one_is_needed_are_named() -> None:
    with pytest.raises(TypeError, match=r"several parts \(dict\)"):
        single({"a": torch.ones(1)})
