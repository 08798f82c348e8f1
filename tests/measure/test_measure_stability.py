"""The learning-rate limit of torch's own optimizers on quadratics, by running them 2 % below and 2 % above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from held_optimizer import growth, warm_up
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop

from normfield.measure.optimizers.stability import stability_matrix
from normfield.measure.optimizers.update_rules import steps

SIZES = (5, 3)
LIKE = torch.zeros((), dtype=torch.float64)


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(n, dtype=torch.float64)) for n in SIZES]


def quadratic(seed: int = 0) -> Tensor:
    """A full matrix with eigenvalues from 0.5 to 2."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))
    return basis @ torch.linspace(0.5, 2, 8, dtype=torch.float64).diag() @ basis.T


def groups(held: list[nn.Parameter], first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"params": held[:1], **first}, {"params": held[1:], **second}]


Make = Callable[[list[nn.Parameter]], Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda p: SGD(p, lr=0.3),
    "SGD that ignores its dampening": lambda p: SGD(p, lr=0.3, dampening=0.5),
    "SGD with penalty": lambda p: SGD(p, lr=0.3, weight_decay=0.7),
    "heavy ball": lambda p: SGD(p, lr=0.3, momentum=0.9),
    "dampened": lambda p: SGD(p, lr=0.3, momentum=0.8, dampening=0.4),
    "Nesterov": lambda p: SGD(p, lr=0.3, momentum=0.9, nesterov=True),
    "Nesterov with penalty": lambda p: SGD(p, lr=0.3, momentum=0.5, nesterov=True, weight_decay=0.3),
    "Adam": lambda p: Adam(p, lr=0.3),
    "Adam without momentum": lambda p: Adam(p, lr=0.3, betas=(0.0, 0.99)),
    "Adam with large eps": lambda p: Adam(p, lr=0.3, eps=0.5),
    "Adam with penalty": lambda p: Adam(p, lr=0.3, weight_decay=0.7),
    "AMSGrad": lambda p: Adam(p, lr=0.3, betas=(0.8, 0.9), amsgrad=True),
    "AdamW": lambda p: AdamW(p, lr=0.3, weight_decay=0.2),
    "Adam, decoupled": lambda p: Adam(p, lr=0.3, weight_decay=0.2, decoupled_weight_decay=True),
    "NAdam": lambda p: NAdam(p, lr=0.3),
    "NAdam, decoupled": lambda p: NAdam(p, lr=0.3, weight_decay=0.2, decoupled_weight_decay=True),
    "NAdam with penalty": lambda p: NAdam(p, lr=0.3, betas=(0.7, 0.9), weight_decay=0.2),
    "RMSprop": lambda p: RMSprop(p, lr=0.3),
    "RMSprop, centred": lambda p: RMSprop(p, lr=0.3, alpha=0.9, centered=True),
    "RMSprop with momentum": lambda p: RMSprop(p, lr=0.3, alpha=0.9, momentum=0.7, weight_decay=0.1),
    "Adagrad": lambda p: Adagrad(p, lr=0.3),
    "Adagrad, slowing": lambda p: Adagrad(
        p, lr=0.3, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.5
    ),
    "SGD, two groups": lambda p: SGD(
        groups(p, {"lr": 0.3, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.5, "nesterov": True}), lr=1.0
    ),
    "AdamW, two groups": lambda p: AdamW(
        groups(p, {"lr": 0.3, "weight_decay": 0.9}, {"lr": 0.05, "betas": (0.5, 0.99), "weight_decay": 0.0})
    ),
    "RMSprop, two groups": lambda p: RMSprop(groups(p, {"weight_decay": 0.5}, {"lr": 0.2, "momentum": 0.6})),
    "one parameter at rest": lambda p: Adam(p[:1], lr=0.3),
}


def limit_of(optimizer: Optimizer, held: list[nn.Parameter], matrix: Tensor) -> float:
    """2/λ_max(A) over the largest present learning rate, A written out."""
    rules = steps(optimizer, {p: torch.zeros_like(p) for p in held})
    product = stability_matrix(rules, held, LIKE).of(lambda v: matrix @ v)
    dense = torch.stack([product(unit) for unit in torch.eye(8, dtype=torch.float64)])
    torch.testing.assert_close(dense, dense.T)
    return 2 / float(torch.linalg.eigvalsh(dense)[-1]) / max(rule.rate for rule in rules)


def outcome(name: str, taken: int, share: float) -> float:
    """By how much θ has grown after 200 steps at this share of the limit."""
    held, matrix = parameters(), quadratic()
    optimizer = OPTIMIZERS[name](held)
    warm_up(optimizer, held, taken)
    moving = [p for group in optimizer.param_groups for p in group["params"]]
    factor = share * limit_of(optimizer, held, matrix)
    with torch.no_grad():
        for p in held:
            p.zero_()

    def gradients() -> list[Tensor]:
        return list((matrix @ torch.cat([p.detach() for p in held])).split(SIZES))[: len(moving)]

    return growth(optimizer, moving, gradients, [torch.zeros_like(p) for p in moving], factor, 200)


CORRECTED = ("Adam", "AMSGrad", "AdamW", "NAdam, decoupled", "Adagrad, slowing")  # by the number of steps

RUNS = [*((name, 100) for name in OPTIMIZERS), *((name, 2) for name in CORRECTED)]


@pytest.mark.parametrize(("name", "taken"), RUNS)
def test_two_per_cent_below_it_falls_and_above_it_grows(name: str, taken: int) -> None:
    assert outcome(name, taken, 0.98) < 0.1
    assert outcome(name, taken, 1.02) > 10


def test_published_limits() -> None:
    """2(1 + μ)/λ [Wei, Eq. 7], 38/λ for Adam [Cohen 2022], (2 + 2μ)/((1 + 2μ)λ) for Nesterov [Cohen 2021]."""
    held = parameters()
    for optimizer, expected in [
        (SGD(held, lr=1.0, momentum=0.9), 3.8),
        (SGD(held, lr=1.0, momentum=0.9, nesterov=True), 3.8 / 2.8),
        (AdamW(held, lr=1.0, weight_decay=0.0), 38.0),
        (RMSprop(held, lr=1.0), 2.0),
    ]:
        rule = steps(optimizer, {p: torch.ones_like(p) for p in held})[0]
        assert 2 / rule.gain == pytest.approx(expected)


FIRST: dict[str, Make] = {name: make for name, make in OPTIMIZERS.items() if name != "one parameter at rest"}


@pytest.mark.parametrize("name", FIRST)
def test_before_any_step_it_is_the_preconditioner_of_the_first(name: str) -> None:
    """The step that torch then takes, momentum beginning at 0, is −η·(that share of g)/p."""
    held = parameters()
    slopes = [torch.tensor([0.3, -2.0, 1e-3, 5.0, 0.7]), torch.tensor([1.0, -0.1, 4.0])]
    optimizer = OPTIMIZERS[name](held)
    rules = steps(optimizer, {p: g.double() for p, g in zip(held, slopes, strict=True)})
    before = [p.detach().clone() for p in held]
    for p, g in zip(held, slopes, strict=True):
        p.grad = g.double()
    optimizer.step()
    for p, at, rule in zip(held, before, rules, strict=True):
        options = next(group for group in optimizer.param_groups if any(q is p for q in group["params"]))
        total = p.grad + rule.penalty * at
        moved = at * (1 - rule.rate * rule.decay) - p.detach()
        expected = rule.rate * first_share(optimizer, options) * total / rule.scale
        torch.testing.assert_close(moved, expected, rtol=1e-6, atol=0)
        assert rule.taken == (-1 if isinstance(optimizer, SGD) else 0)


def first_share(optimizer: Optimizer, options: dict[str, Any]) -> float:
    """What of the gradient the first step lets through, its preconditioner apart."""
    if isinstance(optimizer, NAdam):
        beta, decay = options["betas"][0], options["momentum_decay"]
        one, two = (beta * (1 - 0.5 * 0.96 ** (t * decay)) for t in (1, 2))
        return 1 + (1 - beta) * two / (1 - one * two)
    if isinstance(optimizer, SGD) and options["nesterov"]:
        return 1 + options["momentum"]
    return 1 - options["betas"][0] if isinstance(optimizer, Adam) else 1.0
