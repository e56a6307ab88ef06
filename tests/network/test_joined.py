"""Images beside numbers: an encoder each, joined."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.network.joined import Joined
from a2c.network.torso_choice import torso_kind
from a2c.network.torsos import NatureCNN, SmallCNN
from builders import config, make_model

PARTS = (("at", (2,)), ("board", (2, 3, 4)), ("speed", (1,)), ("view", (3, 36, 40)))
SIZE = 2 + 24 + 1 + 3 * 36 * 40
SCENE = Spaces((SIZE,), "float32", 3, discrete=True, obs_parts=PARTS)


def test_every_image_has_an_encoder_and_all_else_joins_their_features() -> None:
    model = make_model(SCENE, config())
    torso, obs = model.torso, torch.rand(5, SIZE, generator=torch.Generator().manual_seed(2))
    assert isinstance(torso, Joined)
    board, view = torso.encoders
    assert (type(board), type(view)) == (SmallCNN, NatureCNN)
    numbers = torch.cat(
        [obs[:, :2], board(obs[:, 2:26].view(5, 2, 3, 4)), obs[:, 26:27], view(obs[:, 27:].view(5, 3, 36, 40))], 1
    )
    assert_close(torso(obs), torso.joining(numbers))
    assert torso.joining.linears[0].in_features == 2 + 128 + 1 + 512
    assert model.describe().startswith("nature_cnn, small_cnn joined, one torso, ")


def test_every_part_is_learned_from() -> None:
    model = make_model(SCENE, config())
    obs = torch.rand(4, SIZE, generator=torch.Generator().manual_seed(3), requires_grad=True)
    model.value(obs).square().sum().backward()
    assert obs.grad is not None
    assert all(part.abs().sum() > 0 for part in obs.grad.split([2, 24, 1, 3 * 36 * 40], 1))


@pytest.mark.parametrize(("torso", "kind"), [("auto", "joined"), ("mlp", "mlp"), ("small_cnn", "joined")])
def test_the_torso_may_be_chosen(torso: str, kind: str) -> None:
    cfg = config(network={"torso": torso})
    assert torso_kind(SCENE, cfg.network) == kind
    model = make_model(SCENE, cfg)
    assert model.value(torch.zeros(2, SIZE)).shape == (2,)
    if torso == "small_cnn":
        assert all(isinstance(encoder, SmallCNN) for encoder in model.torso.encoders)
