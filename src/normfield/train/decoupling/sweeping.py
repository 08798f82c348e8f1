"""Sweeps over all units of a network: a step of the direction and the best length of one after another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.train.decoupling.direction import turned
from normfield.train.decoupling.layers import Layer
from normfield.train.decoupling.length import bisected_length
from normfield.train.decoupling.unit import Objective, Unit


@dataclass(frozen=True)
class Visit:
    """What was done to one unit: the step size of its direction (NaN where it stayed), and whether the loss rose."""

    step_size: float
    rose: bool


def swept(objective: Objective, layers: list[Layer], halvings: int) -> list[Visit]:
    """One visit to every unit, in place."""
    return [visit for layer in layers for visit in _layer_swept(objective, layer, halvings)]


def lengths(objective: Objective, layers: list[Layer]) -> list[float]:
    """‖w̃‖_S of every unit."""
    return [
        float(length)
        for layer in layers
        for length in (objective.inputs_of(layer) @ layer.rows().T).square().mean(0).sqrt()
    ]


def _layer_swept(objective: Objective, layer: Layer, halvings: int) -> list[Visit]:
    """The units of one layer share its inputs, which no visit to them changes."""
    inputs = objective.inputs_of(layer)
    return [
        _visited(Unit(objective, layer, i), inputs, row, halvings)
        for i, row in enumerate(layer.rows().clone())
    ]


def _visited(unit: Unit, inputs: Tensor, w: Tensor, halvings: int) -> Visit:
    before = _length(inputs, w)
    if not 0 < before < math.inf:
        return Visit(math.nan, False)
    turn = turned(unit, inputs, w)
    norm = _length(inputs, turn.weights)
    if not 0 < norm < math.inf:
        return Visit(math.nan, False)
    found = bisected_length(unit, inputs @ turn.weights / norm, before, halvings)
    unit.layer.write(unit.index, found.length / norm * turn.weights)
    slack = math.sqrt(torch.finfo(w.dtype).eps)
    return Visit(turn.step_size, not found.loss <= turn.loss_before + slack * abs(turn.loss_before))


def _length(inputs: Tensor, w: Tensor) -> float:
    return float((inputs @ w).square().mean().sqrt())
