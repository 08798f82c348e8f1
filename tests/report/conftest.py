"""A page with every kind of block, as a diagnosis would fill it."""

from __future__ import annotations

import math

import pytest

from normfield.report import (
    Band,
    Card,
    Cards,
    Column,
    Facts,
    Figure,
    Finding,
    Findings,
    Mark,
    Page,
    Section,
    Series,
    Table,
    bars,
    lines,
)

ANSWERS = Cards(
    [
        Card("Theory", 0.0312345, "largest learning rate", "λ_max 121.7", "exact for wide layers", "plain"),
        Card("Kernel", None, "largest learning rate", "", "not yet: no kernel for this activation", "absent"),
        Card(
            "Measured", 0.0297, "largest learning rate", "λ_max 127.9", "10 products, residual 4e-4", "good"
        ),
        Card(
            "Trained",
            0.0355,
            "largest learning rate",
            "± 0.05 decades",
            "5 restarts, seen from both sides",
            "caution",
        ),
    ]
)

FINDINGS = Findings(
    [
        Finding(
            "warning",
            "The learning rate 0.1 is above the largest stable one: lower it or lower γ.",
            3.2,
            "times too large",
        ),
        Finding("note", "The last layer carries most of the curvature.", 0.8132, "of λ_max"),
        Finding("good", "Gradients survive this depth.", 1.22, "growth per layer"),
        Finding("problem", "Theory is an extrapolation: these weights do not look random.", None),
    ]
)


def answers_table() -> Table:
    columns = [
        Column("Answer"),
        Column("Largest learning rate"),
        Column("λ_max"),
        Column("Cost", "s"),
        Column("What it assumes"),
    ]
    rows = [
        [
            "theory",
            0.031234567891234,
            121.66666666666667,
            0.0021,
            "infinite width, batch statistics, random weights",
        ],
        ["kernel", None, None, None, "not yet"],
        ["measured", 0.0297, 127.94, 1.84, "linear stability at the start of training"],
        ["trained", 0.0355, math.inf, 28.31, "nothing beyond these five restarts"],
    ]
    return Table("Four answers to one question", columns, rows, ["kernel: not covered by this version."])


def terms_figure() -> Figure:
    layers = [f"{i + 1} {kind}" for i, kind in enumerate(["Dense", "BatchNorm"] * 4)]
    terms = {"weights": [3.1, 0, 11.2, 0, 22.4, 0, 71, 0], "biases": [0.4, 0, 0.9, 0, 1.1, 0, 3, 0]}
    scales = {"γ": [0, 1.5, 0, 2.7, 0, 4.4, 0, 9.8], "β": [0, 0.2, 0, 0.4, 0, 0.8, 0, 2.1]}
    return bars(
        layers,
        terms | scales,
        value_title="contribution to λ_max",
        title="λ_max by layer",
        caption="Each layer's parameters add their own term to the largest eigenvalue.",
    )


def gamma_figure() -> Figure:
    gamma = [10 ** (-1 + 0.02 * i) for i in range(86)]
    theory = [0.05 / (0.02 + g**2.2) for g in gamma]
    return lines(
        [
            Series(
                "theory, batch statistics",
                gamma,
                theory,
                low=[y / 1.4 for y in theory],
                high=[y * 1.4 for y in theory],
            ),
            Series("theory, as published", gamma, [y * 1.8 for y in theory], "dashed"),
            Series(
                "trained boundary",
                [0.3, 1, 3],
                [0.55, 0.055, 0.005],
                "markers",
                [0.5, 0.05, 0.004],
                [0.7, 0.08, 0.006],
            ),
        ],
        "γ",
        "largest learning rate",
        log_x=True,
        log_y=True,
        marks=[Mark(1.0, "this network, γ = 1"), Mark(1.25, "its largest γ after training")],
        bands=[Band(0.25, 0.5, "stable at 0.1")],
        title="Largest learning rate against γ",
        caption="Tinted: the theory's uncertainty at this batch size; points are trained, with their spread.",
    )


def runs_figure() -> Figure:
    steps = list(range(60))
    calm = [
        Series(f"η = {eta}", steps, [math.exp(-eta * t * 2) + 0.02 for t in steps], group="converged")
        for eta in (0.01, 0.02, 0.03)
    ]
    wild = [
        Series(
            f"η = {eta}",
            steps,
            [math.exp(eta * t * 5) if t < 40 else math.inf for t in steps],
            group="diverged",
        )
        for eta in (0.04, 0.06)
    ]
    return lines(
        [*calm, *wild],
        "step",
        "training loss",
        log_y=True,
        marks=[Mark(1000.0, "counted as diverged", axis="y")],
        title="Training runs on either side",
    )


@pytest.fixture
def sample_page() -> Page:
    return Page(
        "How fast can this network learn?",
        "A multilayer perceptron of four layers with batch norm, on 1,797 handwritten digits.",
        [
            Section("", [ANSWERS]),
            Section(
                "What was asked",
                Facts([("loss", "squared"), ("batch size", 128), ("momentum", 0.9), ("γ", 1.0)]),
            ),
            Section("Findings", [FINDINGS]),
            Section(
                "The answers",
                [answers_table()],
                "Each is dearer and nearer to the truth than the one before.",
            ),
            Section("Where the curvature comes from", [terms_figure()]),
            Section("What γ would change", [gamma_figure(), runs_figure(), "The runs use the same seed."]),
        ],
        {"answers": {"theory": {"max_learning_rate": 0.031234567891234}}},
        "Normfield 0.1.0",
    )
