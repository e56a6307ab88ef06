"""Writes wandb_forms.json: what W&B's own package ``sweeps`` says of each form of a parameter, and what it draws.

pip install --target FOLDER sweeps==0.3.0 jsonschema jsonref    (--no-deps: numpy and scipy are here)
PYTHONPATH=FOLDER python tests/sweeps/wandb_forms.py
"""

from __future__ import annotations

import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
SHARES = [(place + 0.5) / 50 for place in range(50)]
RANGE = {"min": 0.5, "max": 4.5}

FORMS: list[Any] = [
    {"value": 0.1}, {"value": None}, {"value": True}, {"value": [64, 64]}, {"value": "adam"}, {"value": {"skip": 4}},
    {"value": 5, "distribution": "constant"},
    {"values": [1, 2, 3]}, {"values": [None, 0.5]}, {"values": [True, False]}, {"values": [[8, 8], [16]]},
    {"values": ["adam", "two words", "it's", ""]}, {"values": [1], "distribution": "categorical"},
    {"values": [1, 1, 2]}, {"values": [{"a": 1}, {"a": 2}]},
    {"values": ["a", "b", "c"], "probabilities": [0.2, 0.5, 0.3]},
    {"values": ["a", "b"], "probabilities": [0, 1]},
    {"values": ["a", "b"], "probabilities": [0.25, 0.75], "distribution": "categorical_w_probabilities"},
    {"min": 3, "max": 9}, {"min": -3, "max": 9, "distribution": "int_uniform"},
    RANGE, {"min": 0, "max": 4.5}, {"min": 0.5, "max": 4}, {"min": 3, "max": 9, "distribution": "uniform"},
    {**RANGE, "distribution": "uniform"},
    {"min": 0, "max": 1, "q": 0.25, "distribution": "q_uniform"},
    {"min": 8, "max": 64, "q": 8, "distribution": "q_uniform"},
    {"min": 0, "max": 6, "distribution": "q_uniform"},
    {"min": 1e-4, "max": 1e-1, "distribution": "log_uniform_values"},
    {"min": 1, "max": 1000, "distribution": "log_uniform_values"},
    {"min": -9.2, "max": -2.3, "distribution": "log_uniform"},
    {"min": -9.2, "max": -2.3, "distribution": "inv_log_uniform"},
    {"min": 1e-4, "max": 1e-1, "distribution": "inv_log_uniform_values"},
    {"min": 16, "max": 256, "q": 16, "distribution": "q_log_uniform_values"},
    {"min": 1, "max": 64, "distribution": "q_log_uniform_values"},
    {"min": 0.0, "max": 4.0, "distribution": "q_log_uniform"},
    {"distribution": "normal"}, {"mu": 3, "sigma": 0.5, "distribution": "normal"},
    {"distribution": "q_normal"}, {"mu": 3, "sigma": 2, "q": 0.5, "distribution": "q_normal"},
    {"distribution": "log_normal"}, {"mu": -7, "sigma": 1, "distribution": "log_normal"},
    {"distribution": "q_log_normal"}, {"mu": 3, "sigma": 0.5, "q": 4, "distribution": "q_log_normal"},
    {"distribution": "beta"}, {"a": 2, "b": 5, "distribution": "beta"},
    {"distribution": "q_beta"}, {"a": 2, "b": 5, "q": 0.125, "distribution": "q_beta"},
    {"parameters": {"a": {"values": [1, 2]}}}, {"parameters": {"a": {"parameters": {"b": {"min": 1, "max": 2}}}}},
    # and what W&B refuses
    {}, [1, 2], {"value": 1, "values": [1]}, {"value": 1, "min": 0}, {"values": []}, {"values": 3},
    {"values": [1, 2], "probabilities": [1.0]}, {"values": [1, 2], "probabilities": [0.5, 0.6]},
    {"values": [1, 2], "probabilities": [-0.5, 1.5]}, {"values": [1, 2], "distribution": "normal"},
    {"min": 1}, {"max": 1}, {"min": 2, "max": 1}, {"min": 1, "max": 1},
    {"min": "a", "max": "b"}, {"min": None, "max": 1},
    {"min": 1.5, "max": 4, "distribution": "int_uniform"}, {**RANGE, "q": 1}, {**RANGE, "mu": 0},
    {**RANGE, "distribution": "gaussian"}, {"min": 0, "max": 1, "distribution": "log_uniform_values"},
    {"min": 0, "max": 1, "q": 0, "distribution": "q_uniform"}, {"sigma": -1, "distribution": "normal"},
    {"a": -1, "distribution": "beta"}, {"mu": 0}, {"distribution": "normal", "min": 0, "max": 1},
    {"parameters": {}}, {"parameters": {"a": {"values": [1]}}, "value": 1}, {"parameters": {"a": {"min": 1}}},
]  # fmt: skip


def main() -> None:
    """Ask W&B's package, without its search, which needs scikit-learn."""
    spec = find_spec("sweeps")
    assert spec is not None, "see above"
    package = types.ModuleType("sweeps")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["sweeps"] = package
    from sweeps.config.cfg import schema_violations_from_proposed_config  # type: ignore[import-not-found]
    from sweeps.params import HyperParameterSet  # type: ignore[import-not-found]

    told = []
    for form in FORMS:
        try:
            said = schema_violations_from_proposed_config({"method": "random", "parameters": {"x": form}})
        except Exception as error:
            said = [str(error)]
        told.append(
            {"form": form, "refused": [text for text in said if "min/max specify base-e exponents" not in text]}
        )
        if not told[-1]["refused"] and "parameters" not in form:
            (parameter,) = HyperParameterSet.from_config({"x": form})
            told[-1]["values"] = [_plain(parameter.ppf(share)) for share in SHARES]
    FILE.write_text("[\n" + ",\n".join(json.dumps(item) for item in told) + "\n]\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    main()
