"""Which torso reads these observations."""

from __future__ import annotations

import math

from a2c.envs.converting.images import LARGE
from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.network.joined import Joined
from a2c.network.torsos import MLP, NatureCNN, SmallCNN
from a2c.settings.config import NetworkConfig

Torso = MLP | NatureCNN | SmallCNN | Joined
CNNS: dict[str, type[NatureCNN] | type[SmallCNN]] = {"nature_cnn": NatureCNN, "small_cnn": SmallCNN}


def torso_kind(spaces: Spaces, network: NetworkConfig) -> str:
    """``mlp``, ``nature_cnn``, ``small_cnn``, or ``joined`` of them: as configured, with ``auto`` by the observations.

    A CNN that is configured reads each image of observations that hold images beside numbers.
    """
    if network.torso == "mlp":
        return "mlp"
    if spaces.images_within:
        return "joined"
    if network.torso != "auto":
        return network.torso
    return _cnn_for(spaces.obs_shape) if spaces.image else "mlp"


def build_torso(kind: str, spaces: Spaces, network: NetworkConfig) -> tuple[Torso, int]:
    """Build a torso.

    Args:
        kind: of :func:`torso_kind`.
        spaces: of the environment.
        network: sizes and activation.

    Returns:
        The torso and its number of features.

    Raises:
        ConfigError: the torso does not fit the observations.
    """
    if kind == "mlp":
        sizes = [math.prod(spaces.obs_shape) - spaces.mask, *network.hidden_sizes]
        return MLP(sizes, network.activation), sizes[-1]
    if kind == "joined":
        images = [shape for _, shape in spaces.obs_parts if len(shape) == 3]
        forced = network.torso if network.torso in CNNS else None
        encoders = [_cnn(forced or _cnn_for(shape), shape) for shape in images]
        torso: NatureCNN | SmallCNN | Joined = Joined(spaces.obs_parts, encoders)
    else:
        torso = _cnn(kind, spaces.obs_shape)
    return torso, torso.features


def describe_torso(kind: str, torso: Torso) -> str:
    """For the start panel: ``mlp``, or ``2 small_cnn joined``."""
    if not isinstance(torso, Joined):
        return kind
    found = {name: sum(type(encoder) is cnn for encoder in torso.encoders) for name, cnn in CNNS.items()}
    return ", ".join(f"{count} {name}" if count > 1 else name for name, count in found.items() if count) + " joined"


def _cnn_for(shape: tuple[int, ...]) -> str:
    return "nature_cnn" if min(shape[1:]) >= LARGE else "small_cnn"


def _cnn(kind: str, shape: tuple[int, ...]) -> NatureCNN | SmallCNN:
    least = LARGE if kind == "nature_cnn" else 1
    if len(shape) != 3 or min(shape[1:]) < least:
        needs = f" of at least {least} pixels a side" if least > 1 else ""
        raise ConfigError(
            f"network.torso={kind} needs images [C, H, W]{needs}, "
            f"but observations have shape {list(shape)}; network.torso=mlp takes any shape"
        )
    return CNNS[kind](*shape)
