"""The spectral density against dense matrices of networks written out by formula."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from written_out import Case, convolutional_case, cross_entropy, dense_case, quartic, squared

from normfield.errors import InvalidInput
from normfield.measure import SpectralDensity, spectral_density
from normfield.measure.whole_spectrum.quadrature import lanczos_rule

LOSSES = {
    "squared": ("squared", squared),
    "cross_entropy": ("cross_entropy", cross_entropy),
    "callable": (quartic, quartic),
}


@pytest.fixture(params=[dense_case, convolutional_case], ids=["dense", "convolutional"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(3)
    return request.param()


def two_batches(case: Case, kind: str, by_formula: object) -> tuple[list, np.ndarray]:
    """Batches of two sizes, and the eigenvalues of their mean matrix."""
    batches = [case.batch(slice(0, 4)), case.batch(slice(4, None))]
    sizes = [len(y) for _, y in batches]
    parts = [case.matrix("batch", kind, by_formula, *batch) for batch in batches]
    matrix = sum(m * part for m, part in zip(sizes, parts, strict=True)) / sum(sizes)
    return batches, np.linalg.eigvalsh(matrix)


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_small_matrix_is_solved_exactly(case: Case, loss: str, kind: str) -> None:
    given, by_formula = LOSSES[loss]
    batches, values = two_batches(case, kind, by_formula)
    found = spectral_density(case.model, batches, given, kind)
    assert (found.method, found.probes, found.parameters) == ("exact", 1, len(values))
    for order, moment in enumerate(found.moments(4), start=1):
        assert moment.value == pytest.approx((values**order).mean(), rel=1e-9)
        assert moment.standard_error == 0
    assert found.largest == pytest.approx(values[-1], rel=1e-9)
    middle = (values[-2] + values[-1]) / 2
    assert found.fraction_above(middle).value == pytest.approx(1 / len(values))
    if kind == "ggn":
        zeros = (np.abs(values) < 1e-10 * values[-1]).mean()
        assert found.zero_fraction.value == pytest.approx(zeros)


@pytest.mark.parametrize(("loss", "kind"), [("cross_entropy", "fisher"), ("squared", "hessian")])
def test_lanczos_moments_are_unbiased_and_their_errors_right(case: Case, loss: str, kind: str) -> None:
    given, by_formula = LOSSES[loss]
    batches, values = two_batches(case, kind, by_formula)
    found = spectral_density(case.model, batches, given, kind, probes=40, steps=4, seed=2, method="lanczos")
    assert (found.method, found.probes, found.products) == ("lanczos", 40, 160)
    for order, moment in enumerate(found.moments(4), start=1):
        assert abs(moment.value - (values**order).mean()) < 4 * moment.standard_error
        assert moment.standard_error < abs(values**order).mean()
    for weights in found.weights:
        assert weights.sum() == pytest.approx(1)


def test_every_probe_has_the_moments_of_its_own_vector() -> None:
    draw = np.random.default_rng(0)
    matrix = draw.standard_normal((30, 30))
    matrix = torch.as_tensor(matrix + matrix.T)
    start = torch.as_tensor(draw.standard_normal(30))
    nodes, weights = lanczos_rule(lambda q: matrix @ q, start, 5)
    unit = start / start.norm()
    for order in range(10):  # degrees below twice the number of steps
        exact = float(unit @ torch.linalg.matrix_power(matrix, order) @ unit)
        assert weights @ nodes**order == pytest.approx(exact, rel=1e-9)


def test_many_steps_see_the_whole_distribution(case: Case) -> None:
    batches, values = two_batches(case, "ggn", cross_entropy)
    found = spectral_density(
        case.model, batches, "cross_entropy", "ggn", probes=16, steps=60, seed=1, method="lanczos"
    )
    for share in (0.5, 0.1, 0.01):
        seen = found.fraction_above(share * values[-1])
        assert abs(seen.value - (values > share * values[-1]).mean()) < 4 * seen.standard_error
    zeros = found.zero_fraction
    assert found.certain_zeros == len(values) - 3 * len(case.x)
    assert abs(zeros.value - (abs(values) < 1e-10).mean()) < 4 * zeros.standard_error
    assert found.largest == pytest.approx(values[-1], rel=1e-8)


def test_the_curve_is_a_density(case: Case) -> None:
    batches, values = two_batches(case, "hessian", squared)
    found = spectral_density(case.model, batches, "squared", "hessian", method="lanczos", probes=3)
    curve = found.density(points=3000)
    assert np.trapezoid(curve.density, curve.grid) == pytest.approx(1, abs=1e-3)
    mean = np.trapezoid(curve.density * curve.grid, curve.grid)
    assert mean == pytest.approx(found.moments(1)[0].value, abs=1e-3 * values[-1])
    assert (curve.standard_error >= 0).all()
    assert len(curve.to_frame()) == 3000


def test_the_logarithmic_curve_holds_what_is_above_zero(case: Case) -> None:
    batches, _ = two_batches(case, "ggn", squared)
    found = spectral_density(case.model, batches, "squared", "ggn")
    curve = found.density(points=4000, width=0.1, logarithmic=True)
    assert curve.is_logarithmic
    area = np.trapezoid(curve.density, np.log10(curve.grid))
    assert area == pytest.approx(1 - found.zero_fraction.value, abs=1e-3)
    assert (curve.standard_error == 0).all()


def test_the_wider_matrix_of_a_deep_batch_and_single_precision() -> None:
    """More outputs than parameters, so that products run in parameter space; and float32."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    batch = (torch.randn(200, 3), torch.randn(200, 2))
    exact = spectral_density(model, batch)
    assert (exact.method, exact.certain_zeros, len(exact.nodes[0])) == ("exact", 0, exact.parameters)
    seen = spectral_density(model, batch, probes=10, steps=40, method="lanczos")
    for moment, truth in zip(seen.moments(3), exact.moments(3), strict=True):
        assert abs(moment.value - truth.value) < 4 * moment.standard_error
    assert seen.largest == pytest.approx(exact.largest, rel=1e-4)


def test_a_budget_ends_between_probes() -> None:
    case = dense_case()
    found = spectral_density(
        case.model, case.batch(slice(None)), probes=9, steps=3, method="lanczos", budget=1e-9
    )
    assert found.probes == 2
    assert found.status == "not all probes: the budget ended 7 short"
    assert found.products == 6


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"probes": 1}, "expected probes an integer of at least 2, whose spread is the error, got 1"),
        ({"steps": 0}, "expected steps an integer of at least 1, got 0"),
        ({"method": "dense"}, "expected method one of auto, lanczos, exact, got 'dense'"),
        ({"budget": 0}, "expected a budget above 0 seconds"),
        ({"statistics": "eval"}, "expected statistics one of batch, frozen, running"),
    ],
)
def test_bad_input(ask: dict, words: str) -> None:
    case = dense_case()
    with pytest.raises(InvalidInput) as refusal:
        spectral_density(case.model, case.batch(slice(None)), **ask)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.fixture
def small() -> SpectralDensity:
    case = dense_case()
    return spectral_density(case.model, case.batch(slice(None)))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"points": 1}, "expected at least 2 points, got 1"),
        ({"width": 0.0}, "expected a width above 0, got 0.0"),
        ({"width": math.nan}, "expected a width above 0, got nan"),
    ],
)
def test_bad_curves(small: SpectralDensity, ask: dict, words: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        small.density(**ask)
    assert words in str(refusal.value)


def test_no_logarithm_without_a_positive_eigenvalue(small: SpectralDensity) -> None:
    zero = replace(small, nodes=(np.zeros(2),), weights=(np.full(2, 0.5),))
    with pytest.raises(InvalidInput, match="an eigenvalue above 0 for a logarithmic density"):
        zero.density(logarithmic=True)
    with pytest.raises(InvalidInput, match="a count of moments of at least 1"):
        small.moments(0)


def test_the_result_tells_itself(small: SpectralDensity) -> None:
    read = json.loads(small.to_json())
    assert len(read["moments"]) == 4
    assert read["zero_fraction"]["value"] == small.zero_fraction.value
    frame = small.to_frame()
    assert frame["weight"].sum() == pytest.approx(1)
    assert f"{small.parameters} eigenvalues from" in str(small)
