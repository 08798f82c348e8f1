"""The page of a watched training run, in a real headless browser."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.diagnosis.watched_training.findings import find
from normfield.diagnosis.watched_training.page import page_of
from normfield.report import Findings, format_number
from normfield.train.monitoring.readings import Reading
from normfield.train.monitoring.watched import Watched

X = torch.randn(96, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(96) % 3


@pytest.fixture(scope="module")
def record():
    """Everything that can be measured, on a network of four layers."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(part for _ in range(3) for part in (nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())), nn.Linear(6, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    names = (
        "signals",
        "landscape",
        "edge",
        "shift",
        "scale_invariance",
        "statistics_drift",
        "gradient_noise",
    )
    monitor = nf.Monitor(
        model,
        "cross_entropy",
        optimizer=optimizer,
        batch=list(zip(X.split(16), Y.split(16), strict=True)),
        every={**dict.fromkeys(names, 5), "<u>own</u>": 5},
        instruments={"<u>own</u>": lambda m: {"step": m.step, "norms": {"a": 1.0 + m.step, "b": 2.0}}},
        overhead=None,
    )
    for step in range(6):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
        monitor.step(loss_value=loss)
    return monitor.record


@pytest.fixture(scope="module")
def page(record, tmp_path_factory):
    return nf.training_page(record, tmp_path_factory.mktemp("training") / "training.html")


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_it_draws_without_error_and_without_network(browser, page, width, scheme):
    driver = browser.open(page, width=width, scheme=scheme)
    drawn = driver.execute_script(
        "return [...document.querySelectorAll('.main-svg')].map(svg => svg.getBoundingClientRect().width)"
    )
    assert len(drawn) >= 20
    assert min(drawn) > 100
    assert browser.errors() == []
    asked = [
        address for address in browser.requests() if not address.startswith("data:")
    ]  # maps are images inside
    assert asked == [page.as_uri()]
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_its_sections_come_in_this_order_and_what_the_caller_named_is_only_text(browser, page):
    driver = browser.open(page)
    shown = driver.execute_script("return [...document.querySelectorAll('h2')].map((h) => h.textContent)")
    assert shown[-10:] == [
        "Loss",
        "How near the edge of stability",
        "The landscape along the gradient",
        "Gradient noise",
        "Signal and gradient by layer",
        "How far the inputs of each layer moved",
        "Lengths of weights",
        "Running statistics of batch norms",
        "Your own instruments",
        "How it was watched",
    ]
    assert "<u>own</u>: norms, by layer" in driver.execute_script("return document.body.innerText")
    assert driver.execute_script("return document.querySelectorAll('main u').length") == 0


def test_it_keeps_every_number_of_the_record(browser, page, record):
    driver = browser.open(page)
    kept = json.loads(driver.execute_script("return document.getElementById('normfield-data').textContent"))
    assert kept["losses"] == list(record.losses)
    flat = [
        (step, instrument, quantity, layer or None, value)
        for instrument, quantities in kept["readings"].items()
        for quantity, layers in quantities.items()
        for layer, curve in layers.items()
        for step, value in zip(curve["steps"], curve["values"], strict=True)
    ]
    expected = [
        (r.step, r.instrument, r.quantity, r.layer, r.value if math.isfinite(r.value) else None)
        for r in record.readings
    ]
    assert sorted(map(str, flat)) == sorted(map(str, expected))


def test_its_first_sentences_and_cards_hold_the_last_values(record):
    opening = page_of(record).sections[0]
    statement, cards = opening.blocks
    assert statement.sentence.startswith(f"The loss fell from {format_number(record.losses[0])} to")
    edge = record.curve("edge", "preconditioned_sharpness_times_rate")[1][-1]
    assert f"the learning rate was {format_number(edge)} of the edge of stability" in statement.note
    assert [card.value for card in cards.cards[:3]] == [
        record.losses[-1],
        edge,
        record.curve("landscape", "effective_smoothness")[1][-1],
    ]


def test_a_learning_rate_that_changed_is_drawn(record):
    def titles(of):
        section = next(s for s in page_of(of).sections if s.heading == "Loss")
        return [figure.title for figure in section.blocks]

    assert titles(record) == ["Loss", "Learning rate"]
    assert titles(replace(record, learning_rates=(0.1,) * record.steps)) == ["Loss"]


def test_sections_without_numbers_are_left_out(tmp_path):
    monitor = nf.Monitor(nn.Linear(6, 3), "cross_entropy", every={"signals": 5})
    empty = page_of(monitor.record)
    assert [section.heading for section in empty.sections] == ["", "How it was watched"]
    assert "no step was told" in str(empty.sections[-1].blocks)
    monitor.step((X, Y))
    assert [section.heading for section in page_of(monitor.record).sections] == [
        "",
        "Signal and gradient by layer",
        "How it was watched",
    ]
    nf.training_page(monitor.record, tmp_path / "a.html")


def made(losses=(1.0, 0.5), readings=(), rate=0.1):
    """A record with chosen numbers."""
    watched = (Watched("signals", 1, False, 1, 1, 0, 0.1, 0, 0, False, ""),)
    return nf.MonitorRecord(
        model="Net",
        loss="squared",
        optimizer="SGD",
        statistics="batch",
        seed=0,
        losses=losses,
        learning_rates=(rate,) * len(losses),
        readings=tuple(readings),
        instruments=watched,
        training_seconds=10.0,
        monitor_seconds=0.1,
        overhead_limit=0.05,
        notes=(),
    )


FINDINGS = {
    "a loss that is lost": ({"losses": (1.0, math.inf)}, "problem", "not finite from step 1 on", 1),
    "beyond the edge": (
        {"readings": [Reading(0, "edge", "sharpness_times_rate", None, 1.4)]},
        "warning",
        "above the largest one",
        1.4,
    ),
    "far below the edge": (
        {
            "readings": [
                Reading(s, "edge", "sharpness_times_rate", None, v) for s, v in ((0, 0.05), (5, 0.001))
            ]
        },
        "note",
        "a larger one is worth a try",
        0.05,
    ),
    "a step that diverges": (
        {"readings": [Reading(0, "landscape", "diverging_step", None, 0.3)]},
        "warning",
        "multiplied the loss by a thousand",
        0.3,
    ),
    "dead units": (
        {"readings": [Reading(0, "signals", "dead_fraction", f"{n}", n / 4) for n in range(4)]},
        "warning",
        "in 1 of 4 layers, most of them in 3",
        0.75,
    ),
    "gradients that explode": (
        {"readings": [Reading(0, "signals", "gradient_growth", None, 1.5)]},
        "warning",
        "grew fast from layer to layer",
        1.5,
    ),
    "statistics far off": (
        {
            "readings": [
                Reading(0, "statistics_drift", "mean_error", "a", 0.1),
                Reading(0, "statistics_drift", "variance_ratio", "a", 9.0),
                Reading(0, "statistics_drift", "mean_error", "b", 0.1),
                Reading(0, "statistics_drift", "variance_ratio", "b", 1.1),
            ]
        },
        "warning",
        "1 of 2 batch norms are far from the exact ones, most of all a (variance ratio 9)",
        0.1,
    ),
    "directions that slow down": (
        {
            "readings": [
                Reading(step, "scale_invariance", "effective_learning_rate", "w", rate)
                for step, rate in ((0, 0.8), (9, 0.02))
            ]
        },
        "note",
        "of 1 of 1 scale-invariant weights move more than 10 times more slowly",
        40.0,
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_has_its_number(name):
    asked, severity, words, value = FINDINGS[name]
    (finding,) = find(made(**asked))
    assert finding.severity == severity
    assert words in finding.sentence
    assert finding.value == pytest.approx(value)
    assert any(isinstance(b, Findings) for section in page_of(made(**asked)).sections for b in section.blocks)


def test_a_healthy_run_has_no_finding():
    healthy = [
        Reading(0, "edge", "sharpness_times_rate", None, 0.6),
        Reading(0, "signals", "dead_fraction", "a", 0.1),
        Reading(0, "signals", "gradient_growth", None, 1.05),
        Reading(0, "statistics_drift", "mean_error", "a", 0.02),
        Reading(0, "statistics_drift", "variance_ratio", "a", 1.2),
    ]
    assert find(made(readings=healthy)) == ()


def test_numbers_that_are_not_finite_are_gaps(tmp_path):
    broken = [
        Reading(step, instrument, quantity, layer, value)
        for instrument, quantity, layer in (
            ("edge", "sharpness_times_rate", None),
            ("landscape", "effective_smoothness", None),
            ("signals", "gradient", "a"),
            ("signals", "gradient", "b"),
            ("own", "own", None),
        )
        for step, value in ((0, math.nan), (1, math.inf), (2, -1.0), (3, 0.0))
    ]
    record = replace(made(losses=(math.nan, None, -1.0), readings=broken), training_seconds=0.0)
    path = nf.training_page(record, tmp_path / "broken.html")
    assert "A training run, watched" in path.read_text(encoding="utf-8")


def test_many_layers_are_numbered_and_many_steps_thinned():
    readings = [
        Reading(step, "signals", "gradient", f"layer {n}", 1.0 + step + n)
        for step in range(200)
        for n in range(60)
    ]
    section = next(s for s in page_of(made(readings=readings)).sections if s.heading.startswith("Signal"))
    (figure,) = section.blocks
    assert len(figure.data[0]["z"]) == 60
    assert 40 <= len(figure.data[0]["z"][0]) <= 60
    assert "Layer 1 is layer 0, layer 60 is layer 59." in figure.caption


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(nf.InvalidInput, match=r"a MonitorRecord, got a dict; give monitor\.record"):
        nf.training_page({}, tmp_path / "a.html")
    with pytest.raises(nf.InvalidInput, match="an existing folder"):
        nf.training_page(made(), tmp_path / "no" / "a.html")
    assert not list(tmp_path.iterdir())
