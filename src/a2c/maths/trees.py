"""Trees of tensors: an observation is a tensor, or a dict or tuple of such trees.

Code that handles observations maps over them with :func:`tree_map`; for a single tensor that is one plain call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # worker processes load no torch
    from torch import Tensor

Tree: TypeAlias = "Tensor | dict[str, Tree] | tuple[Tree, ...]"


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to every leaf.

    Args:
        function: takes one leaf of each tree.
        tree: anything that is neither dict nor tuple is a leaf.
        others: trees of the same structure.

    Returns:
        A tree of that structure.

    Raises:
        KeyError, ValueError: the structures differ.
    """
    if isinstance(tree, dict):
        return {key: tree_map(function, part, *(other[key] for other in others)) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(tree_map(function, *parts) for parts in zip(tree, *others, strict=True))
    return function(tree, *others)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order."""
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


def single(tree: Tree) -> Tensor:
    """The tensor of a tree that has only one.

    Raises:
        TypeError: the tree is a dict or tuple.
    """
    if isinstance(tree, dict | tuple):
        raise TypeError(f"observations of several parts ({type(tree).__name__}), but this needs a single tensor")
    return tree
