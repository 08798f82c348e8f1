"""Torch's optimizers as linear filters of the gradient, parameter by parameter.

Between changes of its preconditioner every one of them makes the step

    θ ← (1 − ηω)·θ − (η/p)·F[∇ℓ + aθ],

p the preconditioner, F a filter over time (momentum), a the L2 penalty and ω the decoupled weight decay. What decides
stability is F at the alternating signal (−1)ᵗ, its *gain* c = F(−1): see `stability`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop

from normfield.errors import InvalidInput

Options = Mapping[str, Any]
"""One parameter group's options."""

State = Mapping[str, Any]
"""What the optimizer keeps for one parameter."""


@dataclass(frozen=True)
class Step:
    """One parameter's step.

    Attributes
    ----------
    rate : float
        η, the present learning rate; 0 where the optimizer does not hold the parameter.
    scale : Tensor
        p, a scalar or in the parameter's shape, bias corrections included.
    gain : float
        c = F(−1).
    penalty : float
        a, added to the curvature.
    decay : float
        ω, decoupled.
    taken : int
        Steps that the state has seen; 0 where p is the first step's, −1 where the rule needs no state.
    """

    rate: float
    scale: Tensor
    gain: float
    penalty: float = 0.0
    decay: float = 0.0
    taken: int = -1


@dataclass(frozen=True)
class Family:
    """One kind of optimizer: its state after a first step with a gradient, its p and its c."""

    first: Callable[[Options, State, Tensor], State]
    scale: Callable[[Options, State], Tensor]
    gain: Callable[[Options, State], float]


def _number(value: Any) -> float:
    """A learning rate, beta or counter, which torch may hold as a tensor."""
    return float(value)


def _heavy_ball(momentum: float, dampening: float = 0.0) -> float:
    """b ← μb + (1 − d)g alternates with (1 − d)/(1 + μ) of g's amplitude."""
    return (1 - dampening) / (1 + momentum)


def _sgd_gain(options: Options, state: State) -> float:
    """g itself, b, or g + μb (Nesterov); torch reads the dampening only where there is momentum."""
    momentum = _number(options["momentum"])
    if momentum == 0:
        return 1.0
    ball = _heavy_ball(momentum, _number(options["dampening"]))
    return 1 + momentum * ball if options["nesterov"] else ball


def _adam_first(options: Options, state: State, gradient: Tensor) -> State:
    squares = (1 - _number(options["betas"][1])) * gradient.square()
    return {"step": 1, "exp_avg_sq": squares, "max_exp_avg_sq": squares, "mu_product": _cached(options, 1)}


def _corrected_root(options: Options, state: State, name: str = "exp_avg_sq") -> Tensor:
    """√(v/(1 − β₂ᵗ)) + ε."""
    correction = 1 - _number(options["betas"][1]) ** _number(state["step"])
    return (state[name] / correction).sqrt() + options["eps"]


def _adam_scale(options: Options, state: State) -> Tensor:
    """(1 − β₁ᵗ)(√v̂ + ε), which holds both bias corrections [Cohen, section 2]."""
    name = "max_exp_avg_sq" if options["amsgrad"] else "exp_avg_sq"
    correction = 1 - _number(options["betas"][0]) ** _number(state["step"])
    return correction * _corrected_root(options, state, name)


def _adam_gain(options: Options, state: State) -> float:
    beta = _number(options["betas"][0])
    return _heavy_ball(beta, dampening=beta)


def _cached(options: Options, step: float) -> float:
    """μ_t = β₁(1 − ½·0.96^(tψ)), NAdam's momentum at step t."""
    exponent = step * _number(options.get("momentum_decay", 0.0))
    return _number(options["betas"][0]) * (1 - 0.5 * 0.96**exponent)


def _nadam_gain(options: Options, state: State) -> float:
    """(1 − μ_t)/(1 − Πμ) of g and μ_{t+1}/(1 − Πμ·μ_{t+1}) of m, as in the last step."""
    step, product = _number(state["step"]), _number(state["mu_product"])
    now, following = _cached(options, step), _cached(options, step + 1)
    of_gradient, of_mean = (1 - now) / (1 - product), following / (1 - product * following)
    return of_gradient + of_mean * _adam_gain(options, state)


def _rmsprop_first(options: Options, state: State, gradient: Tensor) -> State:
    new = 1 - _number(options["alpha"])
    return {"step": 1, "square_avg": new * gradient.square(), "grad_avg": new * gradient}


def _rmsprop_scale(options: Options, state: State) -> Tensor:
    """√v + ε, or √(v − ḡ²) + ε where centred."""
    squares = state["square_avg"]
    if options["centered"]:
        squares = squares - state["grad_avg"].square()
    return squares.sqrt() + options["eps"]


def _adagrad_first(options: Options, state: State, gradient: Tensor) -> State:
    total = state.get("sum", torch.zeros_like(gradient))
    return {"step": 1, "sum": total + gradient.square()}


def _adagrad_scale(options: Options, state: State) -> Tensor:
    """(√Σg² + ε)·(1 + (t − 1)·the learning rate's decay)."""
    slower = 1 + (_number(state["step"]) - 1) * _number(options["lr_decay"])
    return slower * (state["sum"].sqrt() + options["eps"])


_PLAIN = Family(
    first=lambda options, state, gradient: {"step": 1},
    scale=lambda options, state: torch.ones(()),
    gain=_sgd_gain,
)
_ADAM = Family(_adam_first, _adam_scale, _adam_gain)
_FAMILIES: dict[type[Optimizer], Family] = {
    SGD: _PLAIN,
    Adam: _ADAM,
    AdamW: _ADAM,
    NAdam: Family(_adam_first, _corrected_root, _nadam_gain),
    RMSprop: Family(
        _rmsprop_first,
        _rmsprop_scale,
        gain=lambda options, state: _heavy_ball(_number(options["momentum"])),
    ),
    Adagrad: Family(_adagrad_first, _adagrad_scale, gain=lambda options, state: 1.0),
}


def family_of(optimizer: Any) -> Family:
    """The rule of an optimizer, or InvalidInput where its class is another one (a subclass may step otherwise)."""
    if type(optimizer) not in _FAMILIES:
        names = ", ".join(kind.__name__ for kind in _FAMILIES)
        raise InvalidInput(
            expected=f"one of torch.optim's {names}",
            got=f"{type(optimizer).__name__}",
            instead="build one of them over the same parameters",
        )
    return _FAMILIES[type(optimizer)]


def _check(options: Options) -> None:
    if options.get("maximize"):
        raise InvalidInput(
            expected="an optimizer that minimises",
            got="maximize=True",
            instead="measure the negative loss with maximize=False",
        )
    if not _number(options.get("momentum", 0.0)) < 1:
        raise InvalidInput(
            expected="a momentum below 1",
            got=f"{_number(options['momentum'])}",
            instead="lower it: no learning rate is stable there",
        )


def _step(family: Family, options: Options, state: State, gradient: Tensor, parameter: Tensor) -> Step:
    """One parameter's step under its group's options; the first step's where none was taken."""
    _check(options)
    weight_decay = _number(options.get("weight_decay", 0.0))
    decoupled = bool(options.get("decoupled_weight_decay", False))
    penalty, decay = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    taken = int(_number(state.get("step", 0)))
    if taken == 0:
        state = family.first(options, state, gradient + penalty * parameter)
    scale, gain = family.scale(options, state).detach(), family.gain(options, state)
    return Step(_number(options["lr"]), scale, gain, penalty, decay, -1 if family is _PLAIN else taken)


def steps(optimizer: Optimizer, parameters: Mapping[Tensor, Tensor]) -> list[Step]:
    """The step of every parameter, given with its gradient, in their order; neither is changed.

    A parameter that the optimizer does not hold stays where it is: rate 0, scale infinite.

    Raises
    ------
    InvalidInput
        Another optimizer than `family_of` knows, none of the parameters in it, maximize, momentum of 1 or more.
    """
    family = family_of(optimizer)
    groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    if not any(parameter in groups for parameter in parameters):
        raise InvalidInput(
            expected="an optimizer over this model's trainable parameters",
            got="one that holds none of them",
            instead="build it from this model's parameters()",
        )
    at_rest = Step(0.0, torch.tensor(float("inf")), 1.0)
    return [
        _step(family, groups[p], optimizer.state.get(p, {}), gradient, p.detach()) if p in groups else at_rest
        for p, gradient in parameters.items()
    ]
