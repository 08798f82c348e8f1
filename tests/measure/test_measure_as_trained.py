"""Models in eval mode: every instrument looks at them as they train, and leaves them in eval mode."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normfield as nf

Batch = tuple[Tensor, Tensor]


def numbers(found: Any) -> Any:
    return json.loads(found.to_json())


def drawn(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    return x, torch.randn(12, 3, generator=generator, dtype=torch.float64)


INSTRUMENTS: dict[str, Callable[[nn.Module, Batch], Any]] = {
    "signals": lambda model, batch: nf.signals(model, batch),
    "channel_moments": lambda model, batch: nf.channel_moments(model, batch),
    "landscape": lambda model, batch: nf.landscape(model, batch, points=3),
    "gradient_noise": lambda model, batch: nf.gradient_noise(model, [drawn(seed) for seed in range(4)]),
    "gradient_inequality": lambda model, batch: nf.gradient_inequality(model, batch),
    "scale_invariance": lambda model, batch: nf.scale_invariance(model, batch),
    "gradient_shift": lambda model, batch: nf.gradient_shift(model, batch, learning_rate=0.1),
    "layer_inputs": lambda model, batch: nf.layer_inputs(model, batch),
    "input_percentiles": lambda model, batch: nf.input_percentiles(model, batch),
}


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 3)]
    return nn.Sequential(*layers).double()


def without_seconds(found: Any) -> dict[str, Any]:
    return {name: value for name, value in numbers(found).items() if "seconds" not in name}


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_model_in_eval_mode_is_looked_at_as_it_trains(name: str) -> None:
    look, batch = INSTRUMENTS[name], drawn(0)
    training, evaluated = net().train(), net().eval()
    asked = without_seconds(look(evaluated, batch))
    assert asked == without_seconds(look(training, batch))
    assert not any(module.training for module in evaluated.modules())
    still = copy.deepcopy(training)
    still[2].eval()  # else the test could not fail
    assert asked != without_seconds(look(still, batch))
    assert [module.training for module in still] == [True, True, False, True, True]
