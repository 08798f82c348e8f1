"""Hostile names of modules, layers, data, losses and errors are text in a report, and nothing else."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import normfield as nf
from normfield.diagnosis.answer import Answer
from normfield.diagnosis.page import page_of
from normfield.measure.signals import LayerSignal, LayerSignals
from normfield.report import render

HOSTILE = [
    "<script>x()</script>",
    "</script>",
    "]]>",
    "\"'`<",
    "\u202e\u200b\u2066",
    "nul\x00",
    "👩‍👩‍👧",
    "y" * 3000,
]
names = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
)


class Tags(HTMLParser):
    def __init__(self, document):
        super().__init__()
        self.found = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in ("sub", "span"):
            self.found.append((tag, tuple(key for key, _ in attrs if key != "class")))

    def handle_comment(self, data):
        self.found.append(("comment", ()))


@pytest.fixture(scope="module")
def diagnosis():
    data = (torch.randn(60, 6), torch.randn(60, 3))
    return nf.diagnose(torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)), data, budget=2)


def page(diagnosis, name):
    """The report with every name that a user gives replaced, and every answer missing for a reason of that name."""

    def loss(outputs, targets):
        raise AssertionError

    loss.__name__ = name
    module = type(name.replace("\x00", "") or "x", (torch.nn.Linear,), {})(6, 3)
    subject = replace(
        diagnosis.subject,
        given=module,
        module=module,
        network=None,
        data=replace(diagnosis.subject.data, name=name),
    )
    layers = tuple(LayerSignal(name, name, 3, 1, 1.0, 1.0, 1.0, 1.0, 1.0) for _ in range(3))
    changed = replace(
        diagnosis,
        asked=replace(diagnosis.asked, loss=loss),
        subject=subject,
        answers={key: Answer(key, "failed", reason=name, assumes=name) for key in diagnosis.answers},
        signals=LayerSignals(layers, 3, name, "batch"),
    )
    content = changed.as_dict()
    written = page_of(
        changed.answers,
        changed.findings,
        changed.asked,
        subject,
        content,
        changed.table(),
        changed.signals,
        name,
    )
    return content, render(written).split('id="normfield-palette"')[0]


@settings(max_examples=30, deadline=None)
@given(name=names)
@example(name=HOSTILE[0])
@example(name=HOSTILE[3])
@example(name=HOSTILE[5])
def test_a_name_changes_no_tag_of_the_report_and_no_number_of_its_data(diagnosis, name):
    content, document = page(diagnosis, name)
    assert Tags(document).found == Tags(page(diagnosis, "n")[1]).found
    kept = json.loads(document.split('id="normfield-data">')[1].split("</script>")[0])
    assert kept["loss"] == name
    assert kept["answers"]["measured"]["reason"] == name
    assert kept == json.loads(json.dumps(content))
