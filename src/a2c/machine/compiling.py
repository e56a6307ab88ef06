"""Compiling updates.

On the CPU a compiled update takes as long as a plain one or longer, after 10 to 40 s of compiling (figures in
docs/performance.md); on CUDA, where a graph removes the same overhead, nothing has been measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

import torch

Arguments = ParamSpec("Arguments")


def compiled_or_plain(function: Callable[Arguments, None], notify: Callable[[str], None]) -> Callable[Arguments, None]:
    """Compile a function at its first call; if that fails, run it as it is.

    Args:
        function: changes tensors in place.
        notify: called with one line that says why it was not compiled.
    """
    chosen: Callable[..., Any] = torch.compile(function, dynamic=False)
    proven = False

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        nonlocal chosen, proven
        if proven:
            chosen(*args, **kwargs)
            return
        try:
            chosen(*args, **kwargs)
        except Exception as error:  # compilers raise many kinds; when one fails, nothing has run
            notify(f"updates are not compiled: {' '.join(str(error).split())[:200]}")
            chosen = function
            chosen(*args, **kwargs)
        proven = True

    return call
