"""Reports as one HTML file that needs nothing else: no network, no script, light and dark, on a phone and on paper.

A template extends ``page.html`` and is given text; whatever is not :class:`Markup` is escaped.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent


def render(template: Path, **values: Any) -> str:
    """A page from its template.

    Args:
        template: a file of ours, never one of a user's: a template is code. It may name files beside it, and
            ``page.html`` with its blocks ``title`` and ``body``.
        values: what it shows.

    Raises:
        jinja2.UndefinedError: the template asks for what is not given.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((HERE / "page.css").read_text(encoding="utf-8").strip())
    return environment.get_template(template.name).render(style=style, **values) + "\n"


def inlined(png: bytes) -> str:
    """A picture as the address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
