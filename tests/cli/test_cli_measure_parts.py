"""What ``normfield measure`` adds to the largest eigenvalues, as a user types it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from normfield.cli.program import program

GIVEN = ["measure", "--data", "digits", "--width", "24", "--batch-size", "100", "--batches", "1"]
PARTS = ["--trace", "--density", "--by-layer"]


def answered(*flags: str) -> str:
    done = CliRunner().invoke(program, [*GIVEN, *flags])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_json_holds_the_parts_and_they_agree() -> None:
    found = json.loads(answered(*PARTS, "--json"))
    trace, density, layers = found["trace"], found["density"], found["by_layer"]
    assert abs(density["moments"][0]["value"] * density["parameters"] - trace["value"]) < 5 * (
        density["moments"][0]["standard_error"] * density["parameters"] + trace["standard_error"]
    )
    assert density["largest"] == pytest.approx(found["largest_eigenvalue"], rel=1e-3)
    assert sum(block["parameters"] for block in layers["blocks"]) == trace["parameters"]
    assert max(b["largest_eigenvalue"] for b in layers["blocks"]) <= found["largest_eigenvalue"] * 1.001
    assert trace["status"] == density["status"] == layers["status"] == found["status"] == "converged"


def test_words_name_the_parts() -> None:
    text = answered(*PARTS)
    for title in ("the trace:", "the spectral density:", "the curvature by layer:"):
        assert title in text
    assert "the trace:" not in answered()


def test_the_budget_is_for_all_parts() -> None:
    found = json.loads(answered(*PARTS, "--budget", "0.001", "--kind", "hessian", "--json"))
    assert "budget" in found["by_layer"]["status"]
    assert found["density"]["status"] == "not all probes: the budget ended 2 short"
