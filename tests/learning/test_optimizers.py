"""RMSprop is TensorFlow's; a flat vector of weights trains bit for bit like many tensors; bad gradients do no harm."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from a2c.learning.optimizers import Adam, RMSprop, RMSpropTF, make_optimizer
from a2c.network.flat_weights import clip_gradient, flatten_parameters
from builders import IMAGE, TORQUE, VECTOR, config, make_model

OPTIMIZERS = pytest.mark.parametrize("name", ["rmsprop_tf", "rmsprop", "adam"])


def weight(*numbers: float, gradient: float | None = None) -> nn.Parameter:
    made = nn.Parameter(torch.tensor(numbers, dtype=torch.float64))
    made.grad = None if gradient is None else torch.full_like(made, gradient)
    return made


# ---- by hand, by formula, and beside torch's ----


def test_the_first_step_of_rmsprop_tf_by_hand():
    w = weight(1.0)
    w.grad = torch.tensor([2.0], dtype=torch.float64)
    RMSpropTF(w, alpha=0.9, eps=0.5).step(0.1)
    # s = 0.9*1 + 0.1*2^2 = 1.3 (the accumulator starts at 1); w = 1 - 0.1 * 2 / sqrt(1.3 + 0.5)
    assert w.item() == pytest.approx(1 - 0.1 * 2 / math.sqrt(1.8), abs=1e-15)


def test_the_first_step_of_adam_by_hand():
    # m / (1 - b1) = g and v / (1 - b2) = g^2, so that the first step is lr * g / (|g| + eps), here 0.1 * 2 / 2.5
    w = weight(1.0)
    w.grad = torch.tensor([2.0], dtype=torch.float64)
    Adam(w, eps=0.5).step(0.1)
    assert w.item() == pytest.approx(1 - 0.08, abs=1e-12)


def test_many_steps_of_rmsprop_tf_equal_the_formula():
    draw = torch.Generator().manual_seed(0)
    w, lr, alpha, eps = weight(1.0, -2.0, 0.5), 0.05, 0.95, 1e-3
    optimizer = RMSpropTF(w, alpha, eps)
    numbers, squares = w.tolist(), [1.0, 1.0, 1.0]
    for _ in range(20):
        gradient = torch.randn(3, generator=draw, dtype=torch.float64) * 3
        w.grad = gradient.clone()
        optimizer.step(lr)
        for i, g in enumerate(gradient.tolist()):
            squares[i] = alpha * squares[i] + (1 - alpha) * g * g
            numbers[i] -= lr * g / math.sqrt(squares[i] + eps)
    assert_close(w.data, torch.tensor(numbers, dtype=torch.float64), rtol=1e-13, atol=1e-13)


def test_rmsprop_tf_is_not_torchs():
    # torch: s = 0.01 * 2^2 = 0.04, step = 0.1*2/(0.2 + 0.01) = 0.952; here: 0.1*2/sqrt(1.03 + 0.01) = 0.196
    steps = []
    for kind in (RMSpropTF, RMSprop):
        w = weight(0.0)
        w.grad = torch.tensor([2.0], dtype=torch.float64)
        kind(w, alpha=0.99, eps=0.01).step(0.1)
        steps.append(-w.item())
    assert steps == pytest.approx([0.1961161, 0.9523810], abs=1e-6)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_rmsprop_and_adam_are_torchs(name, as_tensor):
    cfg = config(optimizer=name, optimizer_eps=1e-3, rmsprop_alpha=0.9)
    draw = torch.Generator().manual_seed(0)
    ours, theirs = weight(1.0, -2.0, 0.5), weight(1.0, -2.0, 0.5)
    optimizer = make_optimizer(cfg, ours)
    if name == "rmsprop":
        reference = torch.optim.RMSprop([theirs], 0.1, alpha=0.9, eps=1e-3)
    else:
        reference = torch.optim.Adam([theirs], 0.1, eps=1e-3)
    for step in range(50):
        ours.grad = torch.randn(3, generator=draw, dtype=torch.float64) * 3
        theirs.grad = ours.grad.clone()
        lr = 0.1 / (step + 1)
        reference.param_groups[0]["lr"] = lr
        optimizer.step(torch.tensor(lr, dtype=torch.float64) if as_tensor else lr)
        reference.step()
    assert_close(ours.data, theirs.data, rtol=1e-9, atol=1e-12)


def test_the_config_names_the_optimizer():
    kinds = {"rmsprop_tf": RMSpropTF, "rmsprop": RMSprop, "adam": Adam}
    for name, kind in kinds.items():
        named, alone = weight(1.0, gradient=0.5), weight(1.0, gradient=0.5)
        cfg = config(optimizer=name, optimizer_eps=1e-3)
        rule = Adam(alone, 1e-3) if kind is Adam else kind(alone, cfg.rmsprop_alpha, 1e-3)
        rule.step(0.1)
        optimizer = make_optimizer(cfg, named)
        assert optimizer.clip(None) == 0.5
        optimizer.step(0.1)
        assert_close(named, alone, rtol=0, atol=0)


def test_the_gradient_is_clipped_by_what_applies_it_and_its_norm_is_that_of_before():
    clipped, small = weight(1.0, gradient=8.0), weight(1.0, gradient=0.5)
    optimizer = make_optimizer(config(optimizer="rmsprop"), clipped)
    assert optimizer.clip(0.5) == 8.0
    optimizer.step(0.1)
    make_optimizer(config(optimizer="rmsprop"), small).step(0.1)
    assert_close(clipped, small, rtol=1e-5, atol=0)


# ---- the weights as one vector ----


def loss_of(model: nn.Module, obs: Tensor) -> Tensor:
    params, values = model(obs)
    return params.square().sum() + values.sum() * 0.1


def observations(spaces) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    if spaces.obs_dtype == "uint8":
        return torch.randint(0, 256, (3, *spaces.obs_shape), generator=draw, dtype=torch.uint8)
    return torch.randn(3, *spaces.obs_shape, generator=draw)


@OPTIMIZERS
@pytest.mark.parametrize("spaces", [VECTOR, TORQUE, IMAGE], ids=["discrete", "continuous", "image"])
def test_flat_weights_train_bit_for_bit_like_many_tensors(name, spaces):
    cfg = config(optimizer=name, lr=1e-3)
    apart = make_model(spaces, cfg)
    together = copy.deepcopy(apart)
    flat = flatten_parameters(together)
    obs = observations(spaces)
    alone = [make_optimizer(cfg, param) for param in apart.parameters()]
    optimizer = make_optimizer(cfg, flat)
    for _ in range(5):
        apart.zero_grad()
        loss_of(apart, obs).backward()
        for each in alone:
            each.step(cfg.lr)
        flat.grad.zero_()
        loss_of(together, obs).backward()
        optimizer.step(cfg.lr)
    for (key, one), other in zip(apart.named_parameters(), together.parameters(), strict=True):
        assert torch.equal(one, other), key
        assert one.grad is not None
        assert torch.equal(one.grad, other.grad), key


def test_weights_and_gradients_are_views_of_the_vector():
    model = make_model(VECTOR, config())
    before = [param.detach().clone() for param in model.parameters()]
    flat = flatten_parameters(model)
    assert flat.numel() == sum(param.numel() for param in before)
    assert all(torch.equal(param, old) for param, old in zip(model.parameters(), before, strict=True))
    with torch.no_grad():
        flat.fill_(3.0)
        flat.grad.fill_(4.0)
    for param in model.parameters():
        assert (param == 3.0).all()
        assert (param.grad == 4.0).all()


def test_a_backward_pass_fills_the_vector_in_place():
    model = make_model(VECTOR, config())
    flat = flatten_parameters(model)
    gradient = flat.grad
    loss_of(model, observations(VECTOR)).backward()
    assert flat.grad is gradient
    expected = torch.autograd.grad(loss_of(model, observations(VECTOR)), list(model.parameters()))
    assert_close(gradient, torch.cat([part.flatten() for part in expected]))


def test_loading_weights_fills_the_vector():
    source, model = make_model(VECTOR, config(seed=2)), make_model(VECTOR, config(seed=1))
    flat = flatten_parameters(model)
    model.load_state_dict(source.state_dict())
    assert torch.equal(flat, torch.cat([param.detach().flatten() for param in source.parameters()]))


# ---- clipping ----


def with_gradient(*numbers: float) -> nn.Parameter:
    flat = nn.Parameter(torch.ones(len(numbers)))
    flat.grad = torch.tensor(numbers)
    return flat


def test_clipping_by_hand():
    flat = with_gradient(3.0, 4.0)  # norm 5
    assert clip_gradient(flat, 1.0).item() == 5.0
    assert_close(flat.grad, torch.tensor([0.6, 0.8]), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("max_norm", "scale"), [(0.01, 1.0), (1.0, 1.0), (5.0, 1.0), (1e9, 1.0), (1e-6, 1e-7)])
def test_clipping_is_torchs(max_norm, scale):
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * scale
    ours, theirs = with_gradient(*gradient.tolist()), with_gradient(*gradient.tolist())
    norm = clip_gradient(ours, max_norm)
    assert torch.equal(norm, nn.utils.clip_grad_norm_([theirs], max_norm))
    assert torch.equal(ours.grad, theirs.grad)


def test_a_short_gradient_and_no_limit_change_nothing():
    for limit in (6.0, None):
        flat = with_gradient(3.0, 4.0)
        assert clip_gradient(flat, limit).item() == 5.0
        assert flat.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])  # the square of the last is infinite
@pytest.mark.parametrize("max_norm", [0.5, None, 1e35])
def test_the_norm_tells_of_a_gradient_along_which_no_step_may_be_taken(bad, max_norm):
    for many in (0, 1000):
        assert not clip_gradient(with_gradient(1.0, bad, *[0.5] * many), max_norm).isfinite()
