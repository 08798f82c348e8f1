"""The page on monitoring: its code runs, and its tables name what is there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.train.monitoring.instruments.registry import BY_NAME

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_code_runs_and_makes_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    printed = io.StringIO()
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(printed):
        torch.manual_seed(0)
        for block in CODE:
            exec(block, names)
    record: nf.MonitorRecord = names["record"]
    assert (tmp_path / "training.html").is_file()
    assert all(each.runs > 1 and not each.failures for each in record.instruments)
    told = [loss for loss in record.losses if loss is not None]
    assert told[-1] < told[0]
    assert "('norm', 'rate')" in printed.getvalue()
    assert names["ratio"] == pytest.approx(
        record.curve("edge", "sharpness_times_rate")[1] / (1 + 0.9)  # momentum 0.9
    )
    assert len(names["steps"]) == len(names["gradient"]) > 1
    assert list(names["table"].columns) == ["step", "instrument", "quantity", "layer", "value"]


def rows(heading):
    """The cells of a section's table, by the instrument in the first."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r'^\| `"(\w+)"` \|(.*)\|$', section, re.MULTILINE))


def test_its_table_names_every_instrument():
    assert set(rows("Instruments")) == set(BY_NAME)


def everything_watched():
    """A record of all instruments, with a rate at the end at which the landscape diverges."""
    model = nn.Sequential(
        *(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()) * 2,
        *(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)),
    )
    generator = torch.Generator().manual_seed(1)
    held = [
        (torch.randn(24, 6, generator=generator), torch.randint(3, (24,), generator=generator))
        for _ in range(4)
    ]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    watching = nf.Monitor(
        model,
        "cross_entropy",
        optimizer=optimizer,
        batch=held,
        every=dict.fromkeys(BY_NAME, 1),
        overhead=None,
    )
    for rate in (0.1, 1e6):
        with torch.no_grad():
            next(model.parameters()).add_(0.1)
        watching.step(loss_value=1.0, learning_rate=rate)
    return watching.record


def test_its_names_of_curves_are_all_that_there_are():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        record = everything_watched()
    documented = {
        name: [set(re.findall(r"`(\w+)`", cell)) for cell in cells.split("|")]
        for name, cells in rows("Names of the curves").items()
    }
    found = {
        name: [
            {
                quantity
                for quantity in record.quantities(name)
                if bool(record.layers(name, quantity)) is by_layer
            }
            for by_layer in (True, False)
        ]
        for name in BY_NAME
    }
    assert documented == {"training": [set(), {"loss", "learning_rate"}], **found}
    assert record.has("training", "loss")
    assert record.has("training", "learning_rate")
