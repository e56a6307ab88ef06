"""Whether the launchers of the extra are installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

HERE = find_spec("hydra_plugins") is not None and all(
    find_spec(f"hydra_plugins.hydra_{name}_launcher") is not None for name in ("joblib", "submitit")
)
needs_launchers = pytest.mark.skipif(not HERE, reason="needs the extra a2c[launchers]")
