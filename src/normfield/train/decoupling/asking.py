"""The door: a network trained by the length and the direction of one unit after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from normfield.data.foreign_errors import described
from normfield.data.random_state import kept_random_state
from normfield.errors import InvalidInput
from normfield.samples import apply
from normfield.seeds import whole_seed
from normfield.train.builders import as_builder, data_for
from normfield.train.decoupling.direction import largest_eigenvalue
from normfield.train.decoupling.layers import Layer, trained_layers
from normfield.train.decoupling.result import DecoupledRun
from normfield.train.decoupling.sweeping import lengths, swept
from normfield.train.decoupling.unit import Objective, Unit
from normfield.train.evaluation import measured, training_mode
from normfield.train.losses import as_training_loss
from normfield.train.prepared import Prepared, prepare
from normfield.train.settings import whole


def train_decoupled(
    build: Any,
    data: Any,
    *,
    loss: str | Callable = "squared",
    steps: int = 20,
    halvings: int = 8,
    seed: int = 0,
    progress: Callable[[str], object] | None = None,
) -> DecoupledRun:
    r"""Train a network without a learning rate: each unit's direction by a normalised step, its length by bisection.

    A unit predicts z = w̃ᵀx before its activation, w̃ = g·w/‖w‖_S with S = E[xxᵀ] of its inputs on the full batch, its
    bias the weight of an input 1. One sweep visits all units, layer after layer; with all others held, each takes

    .. math::
        w \leftarrow w - s\nabla_w f,\qquad s = -\frac{\|w\|_S^3}{L\,g\,h},\quad
        \nabla_w f = \frac{g}{\|w\|_S}\Bigl(I - \frac{Sww^\top}{\|w\|_S^2}\Bigr)\nabla_{\tilde w} f,

    which is at right angles to w, and then the g at which ∂_g f changes sign, by bisection [Kohler, last section].

    Parameters
    ----------
    build : Network, nn.Module or callable seed -> nn.Module
        A module is copied and left as it was. All that trains are its ``nn.Linear`` layers, each called once on rows
        (m, d); no batch norm, no dropout, and nothing else by which samples meet.
    data
        All that ``normfield.data.load`` takes; its training samples are the full batch of every evaluation.
    loss
        As for `train_once`, a mean over samples; twice differentiable by the outputs.
    steps : int
        Sweeps over all units.
    halvings : int
        T_s, of each bisection.
    seed : int
        Given to ``build``; nothing else is drawn.
    progress : callable, optional
        Told of every finished sweep in a line.

    Returns
    -------
    DecoupledRun

    Raises
    ------
    InvalidInput
        Settings out of range, data that do not fit, a part that cannot be trained so, or weights that start at 0.

    Notes
    -----
    The halfspace's formulas are h = (uᵀw)c₁ and L = λ_max(S), for ∇f = c₁u + c₂Sw̃. A unit within a network has no
    such u. There c₂ = E[κ], with κ = tᵀ∇²ℓ t the Gauss–Newton second derivative of a sample's loss ℓ by z and
    t = ∂outputs/∂z, so that h = wᵀ∇f − c₂g‖w‖_S; and L = λ_max(E[κxxᵀ])/c₂, the local Lipschitz constant of the
    gradient in units of c₂. For an output under the squared loss κ = 1: then both are exact, the steps are those of
    "normalised" in `descend`, and the loss never rises. Elsewhere activations bend and it may;
    `DecoupledRun.rises` says how often it did.

    The bisection starts at the present length, its bracket as wide as that and doubled at most ten times, and takes
    the end at which the loss still falls. A visit costs a gradient and a forward derivative for the direction and
    usually halvings + 2 gradients for the length.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 32)[:, None]
    >>> net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> run = train_decoupled(net, (x, x**2), steps=5)
    >>> bool(run.losses[-1] < run.losses[0])
    True
    """
    began = time.perf_counter()
    whole(steps, "steps", 1)
    whole(halvings, "halvings", 1)
    seed = whole_seed(seed)
    model = as_builder(build)(seed)
    with kept_random_state(), training_mode(model):
        prepared = prepare(model, data_for(build, data, None), as_training_loss(loss), None)
        _check_outputs(model, prepared)
        layers = trained_layers(model, prepared.inputs)
        objective = Objective(model, prepared.loss.function, prepared.inputs, prepared.targets)
        _check_lengths(objective, layers)
        _check_derivatives(objective, layers)
        found = _trained(objective, layers, steps, halvings, progress or _untold)
    test = measured(model, objective.loss, prepared.test, prepared.labelled) if prepared.test else None
    return DecoupledRun(
        model=model,
        loss=prepared.loss.name,
        steps=steps,
        halvings=halvings,
        seed=seed,
        units=tuple(name for layer in layers for name in layer.unit_names),
        test_loss=None if test is None else test.loss,
        test_accuracy=None if test is None else test.accuracy,
        seconds=time.perf_counter() - began,
        **found,
    )


def _untold(_: str) -> None:
    """Where nobody listens."""


def _trained(
    objective: Objective, layers: list[Layer], steps: int, halvings: int, tell: Callable[[str], object]
) -> dict[str, Any]:
    losses, spent, all_lengths = [objective.value()], [0], [lengths(objective, layers)]
    step_sizes, rises = [], 0
    for number in range(1, steps + 1):
        visits = swept(objective, layers, halvings)
        losses.append(objective.value())
        spent.append(objective.gradient_evaluations)
        all_lengths.append(lengths(objective, layers))
        step_sizes.append([visit.step_size for visit in visits])
        rises += sum(visit.rose for visit in visits)
        tell(f"sweep {number} of {steps}: loss {losses[-1]:.3g}, {spent[-1]:,} gradient evaluations")
    return {
        "losses": np.array(losses),
        "gradient_evaluations": np.array(spent),
        "lengths": np.array(all_lengths),
        "step_sizes": np.array(step_sizes),
        "rises": rises,
    }


def _check_outputs(model: nn.Module, prepared: Prepared) -> None:
    with torch.no_grad():
        outputs = apply(model, prepared.inputs)
    if not isinstance(outputs, torch.Tensor):
        raise InvalidInput(
            expected="a model that returns one tensor of outputs",
            got=type(outputs).__name__,
            instead="wrap it in a module that returns that part",
        )


def _check_derivatives(objective: Objective, layers: list[Layer]) -> None:
    """Refuse what cannot be differentiated forwards, and a loss that cannot twice; it costs no counted evaluation."""
    first = objective.inputs_of(layers[0])
    trial = Objective(objective.model, objective.loss, objective.inputs, objective.targets)
    try:
        Unit(trial, layers[0], 0).bends(first @ layers[0].rows()[0])
        largest_eigenvalue(first, first.new_ones(len(first)))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        raise InvalidInput(
            expected="a model with derivatives forwards and a loss with second ones, in float32 or float64",
            got=described(error),
            instead="use other operations, or train with nf.train_ensemble",
        ) from error


def _check_lengths(objective: Objective, layers: list[Layer]) -> None:
    names = [name for layer in layers for name in layer.unit_names]
    for name, length in zip(names, lengths(objective, layers), strict=True):
        if not length > 0:
            raise InvalidInput(
                expected="units that start with an output other than 0, which have a direction",
                got=f"{name} with a root mean square output of {length:g}",
                instead="start its weights at random",
            )
