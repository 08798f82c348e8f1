"""The trace and its shares by block, against dense matrices of networks written out by formula."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from written_out import Case, convolutional_case, cross_entropy, dense_case, quartic, squared

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure import Trace, curvature_trace

LOSSES = {
    "squared": ("squared", squared),
    "cross_entropy": ("cross_entropy", cross_entropy),
    "callable": (quartic, quartic),
}
SEEDS = 40


@pytest.fixture(params=[dense_case, convolutional_case], ids=["dense", "convolutional"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(3)
    return request.param()


def block_traces(case: Case, matrix: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The trace of each module's block of a dense matrix."""
    owners = [n.rpartition(".")[0] for n, p in case.model.named_parameters() for _ in range(p.numel())]
    diagonal = matrix.diagonal()
    return np.array([sum(d for d, o in zip(diagonal, owners, strict=True) if o == name) for name in names])


@pytest.mark.parametrize("statistics", ["batch", "frozen", "running"])
@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("loss", LOSSES)
def test_exact_trace_and_blocks(case: Case, loss: str, kind: str, statistics: str) -> None:
    given, by_formula = LOSSES[loss]
    batch = case.batch(slice(None))
    matrix = case.matrix(statistics, kind, by_formula, *batch)
    found = curvature_trace(case.model, batch, given, kind, statistics, method="exact")
    assert found.value == pytest.approx(np.trace(matrix), rel=1e-10)
    assert (found.method, found.standard_error, found.probes) == ("exact", 0.0, 0)
    np.testing.assert_allclose(found.block_values, block_traces(case, matrix, found.blocks), atol=1e-10)
    assert sum(found.block_parameters) == found.parameters == len(matrix)
    assert found.mean_eigenvalue == pytest.approx(np.trace(matrix) / len(matrix))


def eight_probes(case: Case, batches: list, loss: object, kind: str, seed: int) -> Trace:
    """A trace that stops after the pilot, so that the number of samples does not depend on them."""
    return curvature_trace(case.model, batches, loss, kind, seed=seed, method="probes", tolerance=1e9)


@pytest.mark.parametrize(("loss", "kind"), [("cross_entropy", "fisher"), ("squared", "hessian")])
def test_probes_are_unbiased_and_their_errors_right(case: Case, loss: str, kind: str) -> None:
    given, by_formula = LOSSES[loss]
    batches = [case.batch(slice(0, 4)), case.batch(slice(4, None))]
    sizes = [len(y) for _, y in batches]
    parts = [case.matrix("batch", kind, by_formula, *batch) for batch in batches]
    matrix = sum(m * part for m, part in zip(sizes, parts, strict=True)) / sum(sizes)
    found = [eight_probes(case, batches, given, kind, seed) for seed in range(SEEDS)]
    assert {(f.probes, f.method) for f in found} == {(8, "probes")}
    values = np.array([f.value for f in found])
    scatter = values.std(ddof=1)
    assert abs(values.mean() - np.trace(matrix)) < 4 * scatter / math.sqrt(SEEDS)
    stated = math.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert stated == pytest.approx(
        scatter, rel=0.35
    )  # scatter itself is known to 11 %, and samples are skewed
    blocks = np.array([f.block_values for f in found])
    expected = block_traces(case, matrix, found[0].blocks)
    assert (abs(blocks.mean(0) - expected) < 4.5 * blocks.std(0, ddof=1) / math.sqrt(SEEDS)).all()


class Wide(nn.Module):
    """Outputs with one large direction common to all samples, so that deflation pays."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.norm = nn.Linear(8, 12), nn.BatchNorm1d(12, dtype=torch.float64)
        self.two = nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.norm(self.one(x))) + 2)


@pytest.mark.parametrize("kind", ["fisher", "hessian"])
def test_deflation_is_chosen_where_it_pays_and_stays_right(kind: str) -> None:
    model = Wide().double()
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    batch = (x, torch.zeros(300, 2, dtype=torch.float64))
    exact = curvature_trace(model, batch, "squared", kind, method="exact")
    found = [
        curvature_trace(model, batch, "squared", kind, tolerance=0.01, seed=s, method="probes")
        for s in range(6)
    ]
    assert {f.method for f in found} == {"deflated probes"}
    assert all(f.standard_error <= 0.01 * f.value for f in found)
    misses = [(f.value - exact.value) / f.standard_error for f in found]
    assert max(map(abs, misses)) < 5
    for f in found:
        error = 5 * f.block_standard_errors + 1e-9 * exact.value
        assert (abs(f.block_values - exact.block_values) < error).all()


def test_a_tight_tolerance_ends_in_the_exact_trace(case: Case) -> None:
    batch = case.batch(slice(None))
    matrix = case.matrix("batch", "hessian", squared, *batch)
    found = curvature_trace(case.model, batch, "squared", "hessian", tolerance=1e-6)
    assert found.method == "exact"
    assert found.value == pytest.approx(np.trace(matrix), rel=1e-10)
    assert found.products >= len(matrix)


def test_a_short_budget_is_said(case: Case) -> None:
    batch = case.batch(slice(None))
    ask = {"tolerance": 1e-4, "max_probes": 10, "method": "probes"}
    with pytest.raises(NumericalFailure, match="not converged: the budget ended") as failure:
        curvature_trace(case.model, batch, **ask)
    assert failure.value.result.probes <= 10
    found = curvature_trace(case.model, batch, **ask, on_failure="return")
    assert not found.is_converged
    assert found.standard_error > 1e-4 * found.value
    quick = curvature_trace(
        case.model, batch, tolerance=1e-4, budget=1e-9, method="probes", on_failure="return"
    )
    assert quick.probes == 8


def test_blocks_by_parameter_and_by_group(case: Case) -> None:
    batch = case.batch(slice(None))
    modules = curvature_trace(case.model, batch)
    parameters = curvature_trace(case.model, batch, blocks="parameter")
    assert parameters.blocks == tuple(name for name, _ in case.model.named_parameters())
    assert parameters.block_values.sum() == pytest.approx(parameters.value)
    groups = {"first": ["one.weight", "one.bias"], "both": ["head.bias", "one.bias"]}
    grouped = curvature_trace(case.model, batch, blocks=groups)
    assert grouped.block_values[0] == pytest.approx(modules.block_values[0])
    biases = dict(zip(parameters.blocks, parameters.block_values, strict=True))
    assert grouped.block_values[1] == pytest.approx(biases["head.bias"] + biases["one.bias"])


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"tolerance": 0}, "expected a tolerance above 0, such as 0.01, got 0"),
        ({"tolerance": math.nan}, "got nan"),
        ({"max_probes": 0}, "expected max_probes an integer of at least 1, got 0"),
        ({"method": "dense"}, "expected method one of auto, probes, exact, got 'dense'"),
        ({"on_failure": "ignore"}, "on_failure one of raise, return"),
        ({"blocks": "layer"}, "expected blocks as None (by module)"),
        ({"blocks": {}}, "got an empty mapping"),
        ({"blocks": {"a": "one.weight"}}, "got 'one.weight' for 'a'"),
        ({"blocks": {"a": []}}, "parameters in block 'a', each once, got none"),
        ({"blocks": {"a": ["one.bias", "one.bias"]}}, "got one twice"),
        ({"blocks": {"a": ["one"]}}, "names of trainable parameters in block 'a', got 'one'"),
        ({"budget": -1}, "expected a budget above 0 seconds"),
        ({"kind": "hesian"}, "expected kind one of fisher, ggn, hessian"),
    ],
)
def test_bad_input(ask: dict, words: str) -> None:
    case = dense_case()
    with pytest.raises(InvalidInput) as refusal:
        curvature_trace(case.model, case.batch(slice(None)), **ask)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_result_tells_itself(case: Case) -> None:
    found = curvature_trace(case.model, case.batch(slice(None)), "cross_entropy")
    frame = found.to_frame()
    assert list(frame.columns[:5]) == ["block", "parameters", "trace", "standard_error", "share"]
    assert frame["share"].sum() == pytest.approx(1)
    read = json.loads(found.to_json())
    assert read["value"] == found.value
    assert len(read["shares"]) == len(found.blocks)
    assert "trace" in str(found)
    assert "largest blocks" in str(found)


def test_a_zero_trace_has_no_shares_and_says_why() -> None:
    layer = nn.Linear(1, 1, bias=False)
    found = curvature_trace(layer, (torch.zeros(3, 1), torch.zeros(3, 1)))
    read = json.loads(found.to_json())
    assert (found.value, read["shares"], read["reason"]) == (0.0, [None], "the trace is zero")
    assert "trace 0 exactly" in str(found)


def test_the_model_is_left_as_found(case: Case) -> None:
    case.model.train()
    state, random = {k: v.clone() for k, v in case.model.state_dict().items()}, torch.get_rng_state()
    curvature_trace(case.model, case.batch(slice(None)), "squared", "hessian")
    assert all(torch.equal(value, state[name]) for name, value in case.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in case.model.parameters())
