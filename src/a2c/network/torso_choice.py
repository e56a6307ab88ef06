"""Which torso reads these observations."""

from __future__ import annotations

import math
from collections import Counter

import torch

from a2c.envs.converting.images import LARGE
from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.network.joined import Encoder, Joined
from a2c.network.masking import unmasked_shape
from a2c.network.own_torso import OwnTorso
from a2c.network.torsos import MLP, NatureCNN, SmallCNN
from a2c.settings.config import NetworkConfig
from a2c.settings.suggest import nearest

Torso = MLP | NatureCNN | SmallCNN | Joined | OwnTorso
CNNS: dict[str, type[NatureCNN] | type[SmallCNN]] = {"nature_cnn": NatureCNN, "small_cnn": SmallCNN}


def torso_kind(spaces: Spaces, network: NetworkConfig) -> str:
    """``mlp``, ``nature_cnn``, ``small_cnn``, ``joined`` of several, or the name of the user's own.

    As configured, with ``auto`` by the observations. A CNN that is configured reads each image of observations that
    hold images beside numbers, unless there is an encoder for it.
    """
    if network.torso == "mlp" or ":" in network.torso:
        return network.torso
    if spaces.images_within or network.encoders:
        return "joined"
    if network.torso != "auto":
        return network.torso
    return _cnn_for(spaces.obs_shape) if spaces.image else "mlp"


def shares_torso(kind: str, spaces: Spaces, network: NetworkConfig) -> bool:
    """Whether one torso serves policy and value: as configured, or else where there are images or encoders."""
    if network.shared_torso is not None:
        return network.shared_torso
    return kind in CNNS or kind == "joined" or (kind != "mlp" and (spaces.image or spaces.images_within))


def convolves(spaces: Spaces, network: NetworkConfig) -> bool:
    """Whether the network reads images as images, which takes the threads of all cores."""
    images = spaces.image or spaces.images_within
    return images and (network.make is not None or torso_kind(spaces, network) != "mlp")


def build_torso(
    kind: str, spaces: Spaces, network: NetworkConfig, *, of_value: bool = False, normalized: bool = False
) -> tuple[Torso, int]:
    """Build a torso.

    Args:
        kind: of :func:`torso_kind`.
        spaces: of the environment.
        network: sizes and activation.
        of_value: it serves the value alone.
        normalized: it gets observations standardised, as floats.

    Returns:
        The torso and its number of features.

    Raises:
        ConfigError: the torso does not fit the observations.
    """
    shape = unmasked_shape(spaces)
    dtype = torch.uint8 if spaces.obs_dtype == "uint8" and not normalized else torch.float32
    if kind == "mlp":
        hidden = network.hidden_sizes
        if of_value and network.value_hidden_sizes is not None:
            hidden = network.value_hidden_sizes
        sizes = [math.prod(shape), *hidden]
        normed = network.layer_norm == "both" or (network.layer_norm == "critic" and of_value)
        return MLP(sizes, network.activation, normed), sizes[-1]
    torso: Torso
    if kind == "joined":
        torso = Joined(spaces.obs_parts, _encoders(spaces, network))
    elif ":" in kind:
        torso = OwnTorso("network.torso", kind, shape, dtype)
    else:
        torso = _cnn(kind, shape)
    return torso, torso.features


def describe_torso(kind: str, torso: Torso) -> str:
    """For the start panel: ``mlp``, or ``2 small_cnn joined``."""
    if not isinstance(torso, Joined):
        return kind
    names = {cnn: name for name, cnn in CNNS.items()}
    titles = [encoder.title if isinstance(encoder, OwnTorso) else names[type(encoder)] for encoder in torso.all]
    found = sorted(Counter(titles).items())
    return ", ".join(f"{count} {title}" if count > 1 else title for title, count in found) + " joined"


def castable(torso: Torso) -> bool:
    """Whether it computes in bfloat16 from weights that were cast before: not a user's own, nor a normalised layer."""
    if isinstance(torso, Joined):
        return not any(isinstance(encoder, OwnTorso) for encoder in torso.all)
    return not isinstance(torso, OwnTorso) and not (isinstance(torso, MLP) and torso.layer_norm)


def _encoders(spaces: Spaces, network: NetworkConfig) -> dict[str, Encoder]:
    """Of each part for which there is one, by its name."""
    parts = dict(spaces.obs_parts)
    for part in network.encoders:
        if part not in parts:
            guess = nearest(part, parts)
            there = ", ".join(parts) or "no parts with names"
            hint = f"; did you mean '{guess}'?" if guess else f"; they have: {there}"
            raise ConfigError(f"network.encoders.{part}: observations have no part '{part}'{hint}")
    forced = network.torso if network.torso in CNNS else None
    encoders: dict[str, Encoder] = {}
    for part, shape in spaces.obs_parts:
        if part in network.encoders:
            name = network.encoders[part]
            encoders[part] = OwnTorso(f"network.encoders.{part}", name, shape, torch.float32)
        elif len(shape) == 3:
            encoders[part] = _cnn(forced or _cnn_for(shape), shape)
    return encoders


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
