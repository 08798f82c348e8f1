"""Diagonal blocks against those of dense matrices of networks written out by formula."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from written_out import Case, convolutional_case, cross_entropy, dense_case, quartic, squared

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure import layer_curvature

LOSSES = {
    "squared": ("squared", squared),
    "cross_entropy": ("cross_entropy", cross_entropy),
    "callable": (quartic, quartic),
}


@pytest.fixture(params=[dense_case, convolutional_case], ids=["dense", "convolutional"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(3)
    return request.param()


def part(case: Case, matrix: np.ndarray, names: set[str]) -> np.ndarray:
    """The block of some parameters, picked entry by entry."""
    owners = [name for name, p in case.model.named_parameters() for _ in range(p.numel())]
    places = [i for i, name in enumerate(owners) if name in names]
    return matrix[np.ix_(places, places)]


@pytest.mark.parametrize("statistics", ["batch", "frozen"])
@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("loss", LOSSES)
def test_blocks_by_module(case: Case, loss: str, kind: str, statistics: str) -> None:
    given, by_formula = LOSSES[loss]
    batch = case.batch(slice(None))
    matrix = case.matrix(statistics, kind, by_formula, *batch)
    found = layer_curvature(case.model, batch, given, kind, statistics, tolerance=1e-10, trace_tolerance=1e-6)
    own = {name: module for name, module in case.model.named_modules() if list(module.parameters(False))}
    assert [block.name for block in found.blocks] == list(own)
    for name, module in own.items():
        dense = part(case, matrix, {f"{name}.{key}" for key, _ in module.named_parameters()})
        block = found[name]
        values = np.linalg.eigvalsh(dense)
        assert block.parameters == len(dense)
        assert block.largest_eigenvalue == pytest.approx(values[-1], rel=1e-8, abs=1e-10)
        assert block.trace == pytest.approx(np.trace(dense), rel=1e-8, abs=1e-10)
        assert block.share == pytest.approx(np.trace(dense) / np.trace(matrix), rel=1e-8, abs=1e-10)
    if kind == "ggn":
        assert max(found.largest_eigenvalues) <= np.linalg.eigvalsh(matrix)[-1] * (1 + 1e-8)


def test_groups_of_ones_own_over_several_batches(case: Case) -> None:
    batches = [case.batch(slice(0, 4)), case.batch(slice(4, None))]
    sizes = [len(y) for _, y in batches]
    parts = [case.matrix("batch", "ggn", cross_entropy, *batch) for batch in batches]
    matrix = sum(m * p for m, p in zip(sizes, parts, strict=True)) / sum(sizes)
    groups = {
        "ends": ["one.weight", "head.weight"],
        "norms": ["norm_one.weight", "norm_one.bias"],
        "one": ["one.weight"],
    }
    found = layer_curvature(case.model, batches, "cross_entropy", blocks=groups, tolerance=1e-9)
    for name, members in groups.items():
        values = np.linalg.eigvalsh(part(case, matrix, set(members)))
        assert found[name].largest_eigenvalue == pytest.approx(values[-1], rel=1e-8)
        assert found[name].trace == pytest.approx(values.sum(), rel=1e-8)


def test_lanczos_on_blocks_with_shared_and_frozen_parameters() -> None:
    """Wide enough that no block is built, in float32; one layer is used twice and one is frozen."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.norm = nn.Linear(20, 30), nn.BatchNorm1d(30)
            self.mix, self.last = nn.Linear(30, 30), nn.Linear(30, 4)
            self.last.bias.requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.norm(self.one(x)))
            return self.last(torch.relu(self.mix(torch.relu(self.mix(h)))))

    model = Tied()
    x, y = torch.randn(180, 20), torch.randint(4, (180,))
    found = layer_curvature(model, (x, y), "cross_entropy", "ggn", tolerance=1e-5)
    assert [block.parameters for block in found.blocks] == [630, 60, 930, 120]
    p = torch.softmax(model(x).detach().double(), 1)
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    wide = Tied().double()
    for name in ("one", "mix", "last"):
        weight = f"{name}.weight"

        def outputs(w: torch.Tensor, weight: str = weight) -> torch.Tensor:
            return torch.func.functional_call(
                wide, {weight: w, "norm.running_mean": torch.zeros(30)}, x.double()
            )

        wide.norm.track_running_stats, wide.norm.running_mean = False, torch.zeros(30).double()
        jacobian = torch.autograd.functional.jacobian(outputs, wide.get_parameter(weight).detach())
        rows = jacobian.reshape(180, 4, -1)
        dense = torch.einsum("xap,xab,xbq->pq", rows, inner, rows) / 180
        block = layer_curvature(model, (x, y), "cross_entropy", "ggn", blocks={"w": [weight]}, tolerance=1e-5)
        largest = float(torch.linalg.eigvalsh(dense)[-1])
        assert block["w"].largest_eigenvalue == pytest.approx(largest, rel=1e-4)
        assert block["w"].trace == pytest.approx(
            float(dense.trace()), abs=5 * block["w"].trace_standard_error
        )
        assert found[name].largest_eigenvalue >= block["w"].largest_eigenvalue * (1 - 1e-4)


def test_a_short_budget_is_said() -> None:
    batch = dense_case().batch(slice(None))
    ask = {"kind": "hessian", "budget": 1e-9, "trace_tolerance": 1e-9, "loss": "squared"}
    model = nn.Sequential(nn.Linear(5, 200), nn.BatchNorm1d(200), nn.Tanh(), nn.Linear(200, 3)).double()
    data = (torch.randn(11, 5).double(), batch[1])
    with pytest.raises(NumericalFailure, match="the budget ended") as failure:
        layer_curvature(model, data, **ask)
    found = layer_curvature(model, data, **ask, on_failure="return")
    assert not found.is_converged
    assert found.status == failure.value.result.status
    assert found.status.startswith("trace: not converged")
    assert found.status.endswith("and 1 more")
    assert math.isfinite(found.trace)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"tolerance": 0}, "expected a tolerance above 0, such as 1e-3, got 0"),
        ({"trace_tolerance": -1}, "expected a tolerance above 0, such as 0.01, got -1"),
        ({"blocks": {"a": ["two.weights"]}}, "got 'two.weights'; take them from model.named_parameters()"),
        ({"on_failure": "warn"}, "on_failure one of raise, return"),
        ({"loss": quartic}, "quartic: the distribution that it comes from is not known"),
    ],
)
def test_bad_input(ask: dict, words: str) -> None:
    case = dense_case()
    with pytest.raises(InvalidInput) as refusal:
        layer_curvature(case.model, case.batch(slice(None)), **ask)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_result_tells_itself(case: Case) -> None:
    found = layer_curvature(case.model, case.batch(slice(None)))
    frame = found.to_frame()
    assert list(frame["block"]) == [block.name for block in found.blocks]
    assert frame["share"].sum() == pytest.approx(1)
    read = json.loads(found.to_json())
    assert read["blocks"][0]["largest_eigenvalue"] == found.blocks[0].largest_eigenvalue
    assert "reason" not in read
    assert str(found).count("\n") == len(found.blocks) + 2
    with pytest.raises(KeyError):
        found["absent"]
