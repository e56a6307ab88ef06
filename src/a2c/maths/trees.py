"""Trees of tensors: an observation is a tensor, or a dict or tuple of such trees.

Whoever carries observations maps over them with :func:`tree_map`. For a single tensor that is one plain call.
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
        tree: whatever is neither dict nor tuple is a leaf: tensors, arrays, shapes.
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
    """The one tensor that a tree is.

    Raises:
        TypeError: it has parts.
    """
    if isinstance(tree, dict | tuple):
        raise TypeError(f"observations of several parts ({type(tree).__name__}) where one tensor is needed")
    return tree
