"""The kernel beside measured networks: rows by dense matrices, the fitted power, the verdict at its thresholds."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch

import normfield as nf
from normfield.studies import kernel_against_measurement as k
from normfield.studies.kernel_agreement import checks
from normfield.studies.power_laws import power_law

TINY = k.Settings(("normal",), (3,), (0.7,), 24, (8, 16), ("digits, by pixel",), samples=20, networks=3)


def top_ten(model, inputs):
    """The ten largest eigenvalues of JJᵀ/m by autograd in float64, training mode."""
    names = [name for name, _ in model.named_parameters()]
    buffers = {name: value.clone() for name, value in model.named_buffers()}

    def outputs(*values):
        state = dict(zip(names, values, strict=True)) | {key: value.clone() for key, value in buffers.items()}
        return torch.func.functional_call(model, state, (inputs,)).reshape(-1)

    start = tuple(parameter.detach() for parameter in model.parameters())
    blocks = torch.autograd.functional.jacobian(outputs, start)
    jacobian = torch.cat([block.reshape(len(inputs) * 10, -1) for block in blocks], dim=1)
    return torch.linalg.eigvalsh(jacobian @ jacobian.T / len(inputs))[-10:].numpy()


def test_a_row_is_the_dense_fisher_matrix_of_these_networks():
    point = k.STUDY.points(TINY, 3)[0]
    (row,) = k.STUDY.measure(TINY, [point])
    inputs = k.inputs_of("normal", 20, 3)
    network = nf.mlp(64, 24, 3, 10, gamma=0.7)
    found = np.array([top_ten(nf.build(network, seed, dtype=torch.float64), inputs) for seed in (3, 4, 5)])
    assert row["measured_mean"] == pytest.approx(found.mean(), rel=3e-3)
    assert row["mean_spread"] == pytest.approx(found.mean(1).std(ddof=1), rel=3e-2)
    assert row["measured_largest"] == pytest.approx(found[:, -1].mean(), rel=3e-3)
    assert row["networks"] == 3


@pytest.mark.parametrize("data", ["normal", "digits", "digits, by pixel"])
def test_inputs_have_a_mean_square_norm_of_their_number(data):
    inputs = k.inputs_of(data, 50, 0)
    assert inputs.shape == (50, 64)
    assert inputs.dtype == torch.float64
    assert float(inputs.square().sum(1).mean()) == pytest.approx(64, rel=1e-12)
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-6)
    assert torch.equal(inputs, k.inputs_of(data, 50, 0))


def test_only_the_hard_case_scales_pixels_one_by_one():
    spread = k.inputs_of("digits, by pixel", 100, 0).std(0, unbiased=False)
    assert float(spread[spread > 0].std()) < 1e-5
    assert float(k.inputs_of("digits", 100, 0).std(0).std()) > 0.3


def test_widths_and_the_hard_case_come_once_each():
    points = k.STUDY.points(TINY, 0)
    assert [(point["data"], point["width"], point["gamma"]) for point in points] == [
        ("normal", 24, 0.7), ("normal", 8, 1.0), ("normal", 16, 1.0), ("digits, by pixel", 24, 0.7),
    ]  # fmt: skip


def test_a_power_law_is_found_with_its_error():
    x = np.array([100.0, 200.0, 400.0, 800.0])
    exact = power_law(x, 3 * x**-0.75)
    assert (exact.exponent, exact.last_exponent) == pytest.approx((-0.75, -0.75))
    assert exact.error == pytest.approx(0, abs=1e-12)
    assert exact.at(50) == pytest.approx(3 * 50**-0.75)
    noise = np.random.default_rng(0).normal(size=(4000, 4), scale=0.1)
    fits = [power_law(x, x**-1.0 * np.exp(draw)) for draw in noise]
    exponents, errors = (np.array([getattr(fit, name) for fit in fits]) for name in ("exponent", "error"))
    assert exponents.mean() == pytest.approx(-1, abs=4 * exponents.std() / math.sqrt(4000))
    assert math.sqrt(np.mean(errors**2)) == pytest.approx(exponents.std(), rel=0.06)


def test_a_power_law_through_what_is_not_positive_is_none():
    assert math.isnan(power_law(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 1.0])).exponent)


def table(mean=1.0, largest=1.0, hard=1.0, exponent=-1.0, spread=1e-3):
    """Two data sets at two γ, measured over the kernel as given at γ = 1; a trend over widths; the hard case."""

    def row(data, gamma, width, over, over_largest):
        return {
            "data": data, "depth": 4, "gamma": gamma, "width": width, "seed": 0, "kernel": 100 * gamma,
            "kernel_error": 1e-9, "published": 150 * gamma, "frozen": 200 * gamma, "batch": 98.5 * gamma,
            "measured_mean": 100 * gamma * over, "mean_spread": 100 * gamma * spread,
            "measured_largest": 100 * gamma * over_largest, "largest_spread": 100 * gamma * spread,
            "measurement_error": 1e-4, "networks": 8,
        }  # fmt: skip

    full = [
        row("normal", 1.0, 1000, mean * 1.01, largest * 1.03),
        row("mnist", 1.0, 1000, mean, largest * 1.02),
    ]
    full += [row(data, 0.1, 1000, 1.0, 1.02) for data in ("normal", "mnist")]
    narrow = [row("normal", 1.0, w, 1 + 0.01 * (w / 1000) ** exponent, 1.03) for w in (125, 250, 500)]
    return [*full, *narrow, row("mnist, by pixel", 1.0, 1000, hard, hard)]


def named(verdict, words):
    found = [check for check in verdict.checks if words in check.sentence]
    assert found, words
    return found


def test_it_holds_where_everything_is_near():
    verdict = k.STUDY.verdict(table())
    assert verdict.outcome == "held in part"  # the largest one's distance is made not to fall
    assert [check.held for check in verdict.of("paper")] == [True] * 5 + [False]
    assert "0.990 to 1.000 times the measured" in verdict.sentence


@pytest.mark.parametrize(
    ("over", "held"), [(1.019, True), (1.021, False), (1 / 1.019, True), (1 / 1.021, False)]
)
def test_the_mean_may_be_two_per_cent_off(over, held):
    check = named(k.STUDY.verdict(table(mean=over)), "MNIST: the kernel's λ_max")[0]
    assert check.held is held
    assert check.value == pytest.approx(1 / over)
    assert "depth 4, γ = 1" in check.sentence


@pytest.mark.parametrize(("over", "held"), [(1.059 / 1.02, True), (1.061 / 1.02, False)])
def test_the_largest_may_be_six_per_cent_off(over, held):
    assert named(k.STUDY.verdict(table(largest=over)), "MNIST: it is")[0].held is held


@pytest.mark.parametrize(("exponent", "held"), [(-1.0, True), (-0.5, True), (0.0, False), (0.4, False)])
def test_the_distance_must_fall_with_width(exponent, held):
    check = named(k.STUDY.verdict(table(exponent=exponent)), "the distance of the mean")[0]
    assert check.held is held
    assert check.value == pytest.approx(exponent, abs=1e-6)


def test_a_slope_within_its_scatter_is_no_trend():
    rows = [dict(row) for row in table(exponent=-0.3)]
    assert named(k.STUDY.verdict(rows), "the distance of the mean")[0].held
    for row in rows:
        if row["width"] in (250, 1000) and row["data"] == "normal" and row["gamma"] == 1:
            row["measured_mean"] = row["kernel"] * (1 + 2 * (row["measured_mean"] / row["kernel"] - 1))
    check = named(k.STUDY.verdict(rows), "the distance of the mean")[0]
    assert check.value < 0.1
    assert not check.held


def test_the_hard_case_is_told_and_does_not_count():
    near, far = k.STUDY.verdict(table()), k.STUDY.verdict(table(hard=1.5))
    assert near.outcome == far.outcome
    assert [check.held for check in named(far, "each pixel")] == [False, False]
    assert all(check.whose == "normfield" for check in named(far, "each pixel"))
    assert "1.50 times too small" in named(far, "each pixel")[0].sentence


def test_the_figures_say_what_the_verdict_says():
    figures = k.STUDY.draw(table(mean=1.015))
    assert "The kernel gives 0.975 to 1.000 times" in figures[0].title
    assert "the published theory 1.463 to 1.500 times" in figures[0].title
    assert "within 2.5 % of the kernel at width 1000" in figures[1].title
    line = next(
        trace
        for trace in figures[0].data
        if trace.get("name") == "kernel of the batch" and trace["showlegend"]
    )
    assert line["x"] == [0.1, 1.0]
    assert checks.MEAN == 1.02, "the tinted range is the criterion"


def test_at_its_smallest_size_the_kernel_is_already_near(smoke_results):
    result = smoke_results["kernel-against-measurement"][0]
    for row in result.rows:
        if row["width"] == 300:
            assert row["kernel"] == pytest.approx(row["measured_mean"], rel=0.03)
            assert abs(row["published"] / row["measured_mean"] - 1) > 0.15


@pytest.mark.longest
@pytest.mark.timeout(7200)
@pytest.mark.skipif(
    "NORMFIELD_DATA" not in os.environ, reason="MNIST is looked for in the folder NORMFIELD_DATA names"
)
def test_the_kernel_predicts_wide_networks_on_all_data(tmp_path):
    """Mean of the top ten within 2 %, the largest within 6 %, over data, depth and γ; both fall with width."""
    verdict = nf.run_study("kernel-against-measurement", "small", folder=tmp_path).verdict
    for check in verdict.of("paper"):
        assert check.held, check.sentence
