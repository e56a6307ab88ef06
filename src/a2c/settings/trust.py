"""``module:Name`` runs the code of that module: of an environment (``env.id``), of a wrapper or of a network.

Whoever types it wants that; a run from elsewhere has to ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from a2c.errors import ConfigError
from a2c.settings.code_names import CODE_NAME, by_part, importable
from a2c.settings.config import Config, NetworkConfig
from a2c.settings.named_wrappers import named_wrappers

FLAG = "--trust"


def imports_foreign_code(env_id: str) -> bool:
    """Whether making this environment imports a module that is not our own."""
    module = env_id.rpartition(":")[0]
    return bool(module) and module != "a2c" and not module.startswith("a2c.") and importable(env_id)


def code_of(cfg: Config) -> dict[str, str]:
    """The settings by which a run imports code that is not our own: ``{"network.torso": "my_nets:MyTorso"}``."""
    return code_in({"env.id": cfg.env.id, "env.wrappers": cfg.env.wrappers}) | code_of_network(cfg.network)


def code_of_network(network: NetworkConfig) -> dict[str, str]:
    """As :func:`code_of`, of the network alone."""
    return code_in({"network.make": network.make, "network.torso": network.torso, "network.encoders": network.encoders})


def code_in(saved: Mapping[str, Any]) -> dict[str, str]:
    """As :func:`code_of`, in settings by their dotted keys; what no import finds (``<lambda>``) imports nothing.

    Wrappers are counted, ``env.wrappers[0]``; Gymnasium's own do nothing but wrap.
    """
    env_id, wrappers = saved.get("env.id"), saved.get("env.wrappers") or ()
    code = {"env.id": env_id} if isinstance(env_id, str) and imports_foreign_code(env_id) else {}
    for index, wrapper in enumerate(named_wrappers(wrappers)):
        if not wrapper.of_gymnasium:
            code[f"env.wrappers[{index}]"] = wrapper.label
    network = {key: saved.get(key) for key in ("network.make", "network.torso")}
    encoders = saved.get("network.encoders")
    network |= {f"network.encoders.{part}": name for part, name in by_part(encoders if encoders else {})}
    return code | {
        key: name
        for key, name in network.items()
        if isinstance(name, str) and re.fullmatch(CODE_NAME, name) and importable(name)
    }


def ask_for_trust(code: Mapping[str, str], run: str, how: str | None = None) -> None:
    """Refuse to import modules, since nobody who typed this command named them.

    Args:
        code: settings of the run that name code (:func:`code_of`), without those that were named again.
        run: names the run in the error.
        how: to trust it; None: on the command line.

    Raises:
        ConfigError: there are some.
    """
    if code:
        modules = sorted({name.rpartition(":")[0] for name in code.values()})
        what = f"the module '{modules[0]}'" if len(modules) == 1 else f"the modules {', '.join(map(repr, modules))}"
        again = dict.fromkeys(
            "env.wrappers=[...]" if key.startswith("env.wrappers[") else f"{key}={name}" for key, name in code.items()
        )
        how = how or f"name it again ({' '.join(again)}), or trust the run ({FLAG})"
        raise ConfigError(f"{run} imports {what}, which can do anything; {how}")


def with_code_of(cfg: Config) -> Callable[[Config, object], Config]:
    """What a run makes of the settings in a checkpoint of its folder: they go by its own names of code.

    A module may have moved since. Other code than the run's own is refused: somebody put it there.
    """
    ours = code_of(cfg)

    def renamed(saved: Config, path: object) -> Config:
        theirs = code_of(saved)
        others = {key: name for key, name in theirs.items() if _within(ours.get(key)) != _within(name)}
        ask_for_trust(others, str(path))
        now = {key: ours[key] for key in theirs}
        network = replace(
            saved.network,
            make=now.get("network.make", saved.network.make),
            torso=now.get("network.torso", saved.network.torso),
            encoders={
                part: now.get(f"network.encoders.{part}", name) for part, name in by_part(saved.network.encoders)
            },
        )
        return replace(saved, env=replace(saved.env, id=now.get("env.id", saved.env.id)), network=network)

    return renamed


def _within(name: str | None) -> str | None:
    return None if name is None else name.rpartition(":")[2]
