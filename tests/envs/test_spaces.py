"""A spaces says of an environment what the network must know, survives a checkpoint, and guards the door."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from a2c.envs.spaces import Spaces, spaces_of
from a2c.errors import CheckpointError, ConfigError
from a2c.maths.distributions import Categorical, DiagonalGaussian
from a2c.network.heads import distribution_of

VECTOR = Box(-1, 1, (4,), np.float32)
IMAGE = Box(0, 255, (4, 84, 84), np.uint8)


def test_a_discrete_environment():
    assert spaces_of(VECTOR, Discrete(3)) == Spaces((4,), "float32", 3, discrete=True)
    assert distribution_of(spaces_of(VECTOR, Discrete(3))) == Categorical(3)


def test_a_continuous_environment():
    spaces = spaces_of(VECTOR, Box(np.float32([-2, -1]), np.float32([2, 3]), dtype=np.float32))
    assert spaces == Spaces((4,), "float32", 2, discrete=False, low=(-2.0, -1.0), high=(2.0, 3.0))
    assert distribution_of(spaces) == DiagonalGaussian(2)


def test_images_stay_bytes_and_any_other_number_becomes_float32():
    assert spaces_of(IMAGE, Discrete(2)).obs_dtype == "uint8"
    assert spaces_of(IMAGE, Discrete(2)).image
    for dtype in (np.float64, np.int64):
        spaces = spaces_of(Box(0, 9, (4,), dtype), Discrete(2))
        assert spaces.obs_dtype == "float32"
        assert not spaces.image


def test_discrete_actions_count_from_the_start_of_their_space():
    spaces = spaces_of(VECTOR, Discrete(3, start=5))
    assert spaces.door(np.array([0, 2])).tolist() == [5, 7]


def test_continuous_actions_are_clipped_to_their_bounds_as_float32():
    spaces = spaces_of(VECTOR, Box(np.float32([-2, -1]), np.float32([2, 3]), dtype=np.float32))
    action = spaces.door(np.float32([[-9.0, 2.5], [1.5, 9.0]]))
    assert action.tolist() == [[-2.0, 2.5], [1.5, 3.0]]
    assert action.dtype == np.float32


def test_actions_have_the_dtype_and_bounds_of_their_space():
    spaces = spaces_of(VECTOR, Box(-0.1, 0.1, (1,), np.float64))
    action = spaces.door(np.float32([[1.0], [-1.0], [0.05]]))
    assert action.dtype == np.float64
    assert action[:2].tolist() == [[0.1], [-0.1]]  # not 0.10000000149, which float32 makes of it
    assert spaces_of(VECTOR, Discrete(3, dtype=np.int32)).door(np.array([2])).dtype == np.int32
    assert Spaces.from_dict(json.loads(json.dumps(spaces.to_dict()))) == spaces


def test_only_a_known_dtype_can_differ():
    narrow, wide = (spaces_of(VECTOR, Discrete(3, dtype=dtype)) for dtype in (np.int32, np.int64))
    for ours, saved in ((narrow, wide), (wide, narrow)):
        with pytest.raises(CheckpointError, match="action_dtype is int"):
            ours.check_same(saved, "best.pt")
        old = saved.to_dict()
        del old["action_dtype"]  # a version that did not keep it
        ours.check_same(Spaces.from_dict(old), "best.pt")


def test_a_door_on_a_device_does_the_same():
    for space, given in ((Discrete(3, start=5), [0, 2]), (Box(-1, 2, (2,), np.float32), [[-9.0, 1.5], [0.5, 9.0]])):
        door = spaces_of(VECTOR, space).door
        tensor = torch.tensor(given)
        assert door.on(torch.device("cpu"))(tensor).tolist() == door(tensor.numpy()).tolist()


def test_an_unbounded_action_passes_the_door_unchanged():
    spaces = spaces_of(VECTOR, Box(-np.inf, np.inf, (2,), np.float32))
    assert spaces.door(np.float32([[-1e9, 1e9]])).tolist() == [[-1e9, 1e9]]


@pytest.mark.parametrize("action_space", [Discrete(3, start=2), Box(-2, 3, (2,), np.float32)])
def test_a_spec_survives_a_checkpoint(action_space):
    spaces = spaces_of(IMAGE, action_space)
    # through JSON, which like torch's plain data may turn tuples into lists
    assert Spaces.from_dict(json.loads(json.dumps(spaces.to_dict()))) == spaces


def test_every_difference_from_a_saved_spec_is_listed():
    ours, saved = spaces_of(VECTOR, Discrete(3)), spaces_of(Box(-1, 1, (6,)), Discrete(4))
    ours.check_same(spaces_of(VECTOR, Discrete(3)), "best.pt")
    with pytest.raises(CheckpointError) as caught:
        ours.check_same(saved, "best.pt")
    assert str(caught.value) == (
        "checkpoint error: best.pt belongs to another environment: obs_shape is (4,), was (6,); actions is 3, was 4"
    )


@pytest.mark.parametrize(
    ("observation_space", "action_space", "says"),
    [
        (Dict(a=VECTOR), Discrete(2), "observation space Dict.* is not supported; Box vectors and images are"),
        (Discrete(4), Discrete(2), "observation space Discrete"),
        (VECTOR, MultiDiscrete([2, 2]), "action space MultiDiscrete.* is not supported; Discrete and one-dimensional"),
        (VECTOR, Box(-1, 1, (2, 2)), "action space Box"),
    ],
)
def test_other_spaces_are_refused_by_name(observation_space, action_space, says):
    with pytest.raises(ConfigError, match=says):
        spaces_of(observation_space, action_space)
