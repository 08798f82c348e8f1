"""Wei et al. Fig. 1 beside the paper's formulas, written anew here for ReLU and solved for where curves cross."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq

import normfield as nf
from normfield.studies import wei_fig_1

W, B = 2.0, 0.5
# Fan-in and output positions of each affine layer; the convolutional head sees 90 channels × 9 positions.
DENSE = ((784, 1), (1000, 1), (1000, 1), (1000, 1))
CIFAR = ((27, 225), (270, 49), (540, 9), (810, 1))
MNIST = ((9, 169), (270, 36), (540, 4), (360, 1))


def published(layers, gamma):
    """Σ_l N_{l−1} |K_l| q̂^{l−1}_xy q̃^l_xy by the published recursions [Wei, Eqs. 23–25, 44, 45]."""
    hat, shared = gamma**2 / 2, gamma**2 / (2 * math.pi)
    q = [B + W, *[B + W * hat] * (len(layers) - 1)]  # q̂⁰ = 1
    total, gradient = 0.0, 1.0
    for l in range(len(layers) - 1, -1, -1):
        fan_in, positions = layers[l]
        if l < len(layers) - 1:
            gradient *= gamma**2 * W / (4 * q[l]) * layers[l + 1][1] / positions
        total += fan_in * positions * (shared if l > 0 else 0.0) * gradient
    return total


def plain(layers):
    """The same without batch norm [Wei, Eqs. 20–22]."""
    q, q_xy, shared = [], [], [0.0]
    hat = 1.0
    for _ in layers:
        q.append(B + W * hat)
        q_xy.append(B + W * shared[-1])
        c = q_xy[-1] / q[-1]
        hat = q[-1] / 2
        shared.append(q[-1] / (2 * math.pi) * (math.sqrt(1 - c * c) + math.pi * c / 2 + c * math.asin(c)))
    total, gradient = 0.0, 1.0
    for l in range(len(layers) - 1, -1, -1):
        fan_in, positions = layers[l]
        if l < len(layers) - 1:
            c = q_xy[l] / q[l]
            gradient *= W / (2 * math.pi) * (math.pi / 2 + math.asin(c)) * layers[l + 1][1] / positions
        total += fan_in * positions * shared[l] * gradient
    return total


def training_mode(layers, gamma):
    """The closed form for ReLU: Eφ = γ/√2π, Eφ′ = 1/2, Eφ′z = 1/√2π."""
    return layers[-1][0] * gamma**2 / (2 * math.pi) + 1 + W * (1 / (2 * math.pi) + 1 / 4)


@pytest.fixture(scope="module")
def small():
    return nf.run_study("wei-fig-1", "small")


def check(result, words):
    return next(check for check in result.verdict.checks if words in check.sentence)


@pytest.mark.parametrize(("name", "layers"), [("fully connected", DENSE), ("convolutional", CIFAR)])
def test_the_table_is_what_the_papers_formulas_give(small, name, layers):
    rows = [row for row in small.rows if row["architecture"] == name]
    assert len(rows) == 49
    for row in rows:
        assert row["plain_eigenvalue"] == pytest.approx(plain(layers), rel=1e-9)
        assert row["published_eigenvalue"] == pytest.approx(published(layers, row["gamma"]), rel=1e-9)
        assert row["training_mode_eigenvalue"] == pytest.approx(training_mode(layers, row["gamma"]), rel=1e-9)
        for reading in ("plain", "published", "training_mode"):
            rate = 2 * (1 + 0.9) / row[f"{reading}_eigenvalue"]
            assert row[f"{reading}_learning_rate"] == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(("words", "layers"), [("Fully connected: ", DENSE), ("Convolutional: ", CIFAR)])
def test_the_crossing_is_where_the_formulas_cross(small, words, layers):
    place = brentq(lambda gamma: published(layers, gamma) - plain(layers), 1, 5)
    assert check(small, words).value == pytest.approx(place, rel=2e-4)
    assert 2.5 < place < 3.5


@pytest.mark.parametrize(("words", "layers"), [("Fully connected, in", DENSE), ("Convolutional, in", CIFAR)])
def test_the_crossing_in_training_mode_too(small, words, layers):
    place = brentq(lambda gamma: training_mode(layers, gamma) - plain(layers), 1, 5)
    assert check(small, words).value == pytest.approx(place, rel=2e-4)


def test_what_else_the_verdict_says(small):
    reductions = [plain(layers) / published(layers, 1.0) for layers in (DENSE, CIFAR)]
    assert check(small, "At γ = 1").value == pytest.approx(min(reductions), rel=1e-6)
    spans = [math.log10(published(layers, 4.9) / published(layers, 0.1)) for layers in (DENSE, CIFAR)]
    assert check(small, "spans").value == pytest.approx(min(spans), rel=1e-6)
    assert small.verdict.outcome == "held"


def test_the_images_that_panel_c_assumes():
    """Its axis of λ_max ends at 3500 and its axis of γ short of 4.5: CIFAR-10's shape fits, MNIST's does not."""
    assert 3200 < published(CIFAR, 4.3) < 3500 < published(CIFAR, 4.5)
    assert published(MNIST, 4.3) == pytest.approx(2000, rel=0.02)


def altered(rows, name, reading, factor):
    key = f"{reading}_eigenvalue"
    return [{**row, key: row[key] * factor} if row["architecture"] == name else row for row in rows]


@pytest.mark.parametrize(
    ("factor", "held"),
    # λ grows about as γ² there, so that the crossing moves by 1/√factor: 2.88 → 3.47, 3.53; 2.57, 2.45.
    [(0.7, True), (0.66, False), (1.25, True), (1.4, False)],
)
def test_the_crossings_thresholds(small, factor, held):
    rows = altered(small.rows, wei_fig_1.DENSE, "published", factor)
    checks = wei_fig_1.STUDY.verdict(rows).checks
    assert checks[0].held is held
    assert checks[1].held is True, "the other network is judged by itself"


def test_a_curve_that_crosses_twice_or_never_does_not_hold(small):
    for rows in (
        altered(small.rows, wei_fig_1.DENSE, "published", 1e-6),
        [
            {**row, "published_eigenvalue": row["published_eigenvalue"] * (0.1 if row["gamma"] == 4.0 else 1)}
            for row in small.rows
        ],
    ):
        found = wei_fig_1.STUDY.verdict(rows)
        assert math.isnan(found.checks[0].value)
        assert not found.checks[0].held
        assert found.outcome != "held"


def test_four_panels_on_the_papers_axes(small):
    assert [figure.title[:3] for figure in small.figures] == ["(a)", "(b)", "(c)", "(d)"]
    for figure, scale in zip(small.figures, ("linear", "log", "linear", "log"), strict=True):
        assert figure.layout["yaxis"]["type"] == scale
        assert figure.layout["xaxis"]["type"] == "linear"
        curves = [trace for trace in figure.data if trace["mode"] == "lines"]
        assert len(curves) == 3
        assert np.ptp(curves[0]["y"]) == 0, "without batch norm there is no γ"
