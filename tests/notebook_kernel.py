"""Runs the code cells of a notebook in the way of Jupyter's kernel.

``python notebook_kernel.py NOTEBOOK [key=value ...]``: every ``a2c.load_config`` is given these settings too, so that a
test is quick. ``test_notebook.py`` says what is as in the kernel, and what is not.
"""

from __future__ import annotations

import ast
import asyncio
import io
import json
import linecache
import sys
import types
from pathlib import Path
from typing import Any

import a2c


class OutStream(io.TextIOBase):
    """What ``print`` writes to: no terminal, and no file."""

    def __init__(self, real: Any) -> None:
        self._real = real

    encoding = "UTF-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._real.write(text)
        return len(text)

    def flush(self) -> None:
        self._real.flush()

    def isatty(self) -> bool:
        return False


OutStream.__module__ = "ipykernel.iostream"


async def run(cells: list[str], variables: dict[str, Any]) -> None:
    """Run each cell; show the value of its last expression, and the figures that it drew."""
    for number, source in enumerate(cells, 1):
        name = f"<ipython-input-{number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = ast.parse(source, name)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), variables)  # noqa: S102
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), variables)  # noqa: S307
            if value is not None and not source.rstrip().endswith(";"):
                print(f"Out[{number}]: {value!r}")
        if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
            for figure in pyplot.get_fignums():
                print(f"<Figure of cell {number}>")
                pyplot.close(figure)


def main() -> None:
    notebook, *settings = sys.argv[1:]
    cells = json.loads(Path(notebook).read_text())["cells"]
    load_config = a2c.load_config
    vars(a2c)["load_config"] = lambda *typed, **given: load_config(*typed, *settings, **given)
    user = types.ModuleType("__main__")
    sys.modules["__main__"] = user
    sys.stdout = OutStream(sys.stdout)
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    asyncio.new_event_loop().run_until_complete(run(code, vars(user)))


if __name__ == "__main__":
    main()
