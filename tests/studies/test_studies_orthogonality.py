"""The study of orthogonality: gaps beside matrices written out, verdicts on made-up tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from normfield.studies import daneshmand_orthogonality as study
from normfield.studies.deep_networks import seeds
from normfield.studies.orthogonality.networks import ScaleNorm, alike, linear_network
from normfield.studies.orthogonality.table import (
    NORMALISERS,
    NORMED,
    PLAIN,
    SCALED,
    at_infinite_width,
    centred_floor,
)

TINY = study.Settings((20,), 4, 5, networks=1)


def gap(rows):
    gram = rows @ rows.T
    return np.linalg.norm(gram / np.trace(gram) - np.eye(len(gram)) / len(gram))


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_gaps_are_those_of_the_matrices(normaliser):
    group = [point for point in study.STUDY.points(TINY, 7) if point["normaliser"] == normaliser]
    rows = study.STUDY.measure(TINY, group)
    (seed,) = seeds(7, "width 20", 1)
    model = linear_network(normaliser, 20, 4, seed)
    h, expected = alike(5, 20, study.CORRELATION, seed)[0].double().numpy(), []
    for layer in [one for one in model if isinstance(one, torch.nn.Linear)][:-1]:
        z = h @ layer.weight.detach().double().numpy().T
        expected.append(gap(z))
        if normaliser == SCALED:
            h = z / np.sqrt((z**2).mean(0))
        elif normaliser == NORMED:
            h = (z - z.mean(0)) / z.std(0)
        else:
            h = z
    assert [row["gap"] for row in rows] == pytest.approx(expected, rel=1e-3)


def test_weights_are_the_same_for_each_normaliser():
    found = [
        [one.weight for one in linear_network(normaliser, 8, 3, 5) if isinstance(one, torch.nn.Linear)]
        for normaliser in NORMALISERS
    ]
    assert len(found[0]) == 4
    assert all(torch.equal(a, b) for a, *others in zip(*found, strict=True) for b in others)


def test_the_papers_normaliser_takes_no_mean_off():
    z = torch.tensor([[3.0, -1.0], [4.0, -1.0]], dtype=torch.float64)
    expected = torch.tensor([[3 / math.sqrt(12.5), -1.0], [4 / math.sqrt(12.5), -1.0]], dtype=torch.float64)
    assert torch.allclose(ScaleNorm()(z), expected)


def test_inputs_are_as_alike_as_asked():
    inputs, targets = alike(6, 20_000, 0.9, 0)
    correlations = np.corrcoef(inputs.numpy())
    assert correlations[np.triu_indices(6, 1)] == pytest.approx(0.9, abs=0.01)
    assert targets.shape == (6, 10)


def test_the_floor_is_the_gap_of_samples_that_are_centred_and_else_orthogonal():
    centred = np.eye(7) - 1 / 7
    assert centred_floor(7) == pytest.approx(gap(centred))


def table(end=2.4, power=-0.5, factor=0.7, plain=1.0, floor=1.0):
    """Gaps that fall to end·width^power, above a floor with centring."""
    rows = []
    for normaliser in NORMALISERS:
        for width in (64, 128, 256, 512):
            low = end * width**power
            if normaliser == NORMED:
                low = math.hypot(low, floor * centred_floor(16))
            for layer in range(1, 41):
                own = max(0.88 * factor ** (layer - 1), low)
                if normaliser == PLAIN:
                    own = 0.88 * (plain if layer > 1 else 1.0)
                rows.append(
                    {
                        "normaliser": normaliser,
                        "width": width,
                        "layer": layer,
                        "samples": 16,
                        "seed": 0,
                        "gap": own,
                    }
                )
    return rows


def test_it_holds_where_gaps_fall_to_one_over_the_root_of_the_width():
    verdict = study.STUDY.verdict(table())
    assert all(check.held for check in verdict.checks)
    assert verdict.outcome == "held"
    assert verdict.checks[1].value == pytest.approx(0.7)
    assert verdict.checks[2].value == pytest.approx(-0.5)
    assert at_infinite_width(table(), NORMED) == pytest.approx(centred_floor(16))


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"end": 5.0}, {0}),
        ({"factor": 0.92}, {1}),
        ({"power": -0.35, "end": 1.0}, {2, 4}),
        ({"plain": 0.85}, {3}),
        ({"plain": 1.16}, {3}),
        ({"floor": 1.12}, {4}),
        ({"floor": 0.0}, {4}),
    ],
)
def test_each_part_can_fail(changed, wrong):
    held = [check.held for check in study.STUDY.verdict(table(**changed)).checks]
    assert {k for k, one in enumerate(held) if not one} == wrong


def test_a_gap_that_never_falls_decays_by_no_factor():
    verdict = study.STUDY.verdict([{**row, "gap": 0.8} for row in table()])
    assert verdict.outcome == "held in part", "it stays without batch norm"
    assert verdict.checks[1].value == 1
    assert not verdict.checks[1].held


def test_figures_draw_the_floor_and_the_law():
    depth, widths, width = study.STUDY.draw(table())
    assert [trace["y"][0] for trace in depth.data] == pytest.approx([0.88] * 3)
    assert len(widths.data) == 4
    assert "to the power −0.50" in width.title
    assert any("least of centred samples" in str(note) for note in width.layout["annotations"])
