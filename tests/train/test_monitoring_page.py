"""The page on monitoring: its code runs, and its tables name what is there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import torch

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
    assert record.losses[-1] < record.losses[0]
    assert "('norm', 'rate')" in printed.getvalue()
    assert len(names["steps"]) == len(names["ratio"]) > 1
    assert list(names["table"].columns) == ["step", "instrument", "quantity", "layer", "value"]


def test_its_table_names_every_instrument():
    assert set(re.findall(r"^\| `\"(\w+)\"` \|", PAGE, re.MULTILINE)) == set(BY_NAME)
