"""The report of a diagnosis in a real headless browser."""

import json
from dataclasses import replace

import pytest

import normfield as nf
from normfield.diagnosis.by_kernel import one_batch
from normfield.diagnosis.signals import signals_of
from normfield.report import format_number


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Small, with time enough that nothing is cut on a busy machine either."""
    few = nf.load("digits", samples=256)
    found = nf.diagnose(nf.mlp(64, 40, 4, 10), few, batch_size=64, budget=90)
    batch = one_batch(found.subject, found.asked)
    found = replace(found, profile=nf.depth_profile(batch.network, batch.inputs, batch.targets))
    path = tmp_path_factory.mktemp("report") / "report.html"
    return found, found.to_html(path, command="normfield diagnose --data <digits>")


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_it_draws_without_error_and_without_network(browser, report, width, scheme):
    _, path = report
    driver = browser.open(path, width=width, scheme=scheme)
    drawn = driver.execute_script(
        "return [...document.querySelectorAll('.main-svg')].map(svg => svg.getBoundingClientRect().width)"
    )
    assert (
        len(drawn) >= 9
    )  # answers, both shares, η* against γ, gradient, signal, correlation, two of the runs
    assert min(drawn) > 100
    assert browser.errors() == []
    assert browser.requests() == [path.as_uri()]
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_its_table_holds_the_numbers_of_the_json(browser, report):
    found, path = report
    driver = browser.open(path)
    kept = json.loads(driver.execute_script("return document.getElementById('normfield-data').textContent"))
    assert kept["answers"] == json.loads(found.to_json())["answers"]
    assert [row["gradient"] for row in kept["profile"]["layers"]] == [
        layer.gradient for layer in found.profile.layers
    ]
    rows = driver.execute_script(
        "const table = [...document.querySelectorAll('table')]"
        ".find(t => t.caption && t.caption.textContent.includes('How large a learning rate'));"
        "return [...table.tBodies[0].rows].map(r => [...r.cells].map(c => c.dataset.value ?? c.textContent))"
    )
    assert [row[0] for row in rows] == list(kept["answers"])
    shown = 0
    for name, rate, eigenvalue, *_ in rows:
        answer = kept["answers"][name]
        for text, number in ((rate, answer["max_learning_rate"]), (eigenvalue, answer["largest_eigenvalue"])):
            if number is not None:
                assert float(text) == number
                shown += 1
    assert shown == 7


HEADINGS = [
    "The answer",
    "The answers side by side",
    "Where λmax comes from",
    "What γ would change",
    "Signal and gradient by layer",
    "The training runs",
    "What was found, and what to change",
    "What this does not say",
    "How to repeat and cite this",
]


def test_it_says_what_was_asked_found_and_left_out_in_this_order(browser, report):
    found, path = report
    driver = browser.open(path)
    shown = driver.execute_script("return [...document.querySelectorAll('h2')].map((h) => h.textContent)")
    assert shown == HEADINGS
    text = driver.execute_script("return document.body.innerText")
    assert "Asked for a network of depth 4 with batch norm" in text
    assert "Up to about" in text
    assert "digits: 256 of 1,797 samples" in text
    assert "normfield diagnose --data <digits>" in text
    assert "arXiv:1903.02606" in text
    assert "The kernel's curve is the root mean square over random weights" in text
    for finding in found.findings:
        assert finding.sentence.split("λ")[0] in text


def test_every_figure_says_its_numbers_in_words(browser, report):
    found, path = report
    words = browser.open(path).execute_script(
        "return [...document.querySelectorAll('.plot')].map((plot) => plot.ariaLabel)"
    )
    axis = words[0]
    for name in found.answers:
        assert format_number(found.answers[name].max_learning_rate) in axis
    assert all(sum(letter.isdigit() for letter in each) > 5 for each in words)


def test_its_plot_is_the_pages_first_figure(report):
    found, _ = report
    drawn = [trace.x[0] for trace in found.plot().data]
    assert drawn == [found.answers[name].max_learning_rate for name in found.answers]


def test_a_notebook_shows_answers_and_findings(report):
    found, _ = report
    markup = found._repr_html_()
    assert markup.startswith('<div class="normfield">')
    assert "<script" not in markup
    for name in found.answers:
        assert f'data-value="{found.answers[name].max_learning_rate!r}"' in markup
    assert markup.count("<li class=") == len(found.findings)


def test_printed_it_is_no_wider_than_a_hundred_letters_but_for_findings(report):
    found, _ = report
    lines = str(found).splitlines()
    table = [line for line in lines[1:] if not line.startswith("•")]
    assert max(map(len, table)) <= 100
    for answer, *_, kind, _ in found.table().rows:
        assert any(line.startswith(answer) and kind in line for line in table)


def test_a_hostile_name_is_only_text(browser, tmp_path):
    class Evil(__import__("torch").nn.Sequential):
        pass

    Evil.__name__ = "<img src=x onerror=alert(1)>"
    import torch

    module = Evil(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    module.add_module("</script><script>hit = 1</script>", torch.nn.Linear(10, 10))
    found = nf.diagnose(module, "digits", budget=0.01)
    found = replace(found, signals=signals_of(found.subject, found.asked))
    path = found.to_html(tmp_path / "evil.html", command="'\"<script>window.hit = 2</script>`")
    driver = browser.open(path)
    assert driver.execute_script("return document.querySelectorAll('img').length") == 0
    driver.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    text = driver.execute_script("return document.body.innerText")
    assert Evil.__name__ in text
    assert "</script><script>hit = 1</script>" in text  # the layer, in the table of signals
    assert "<script>window.hit = 2</script>" in text
    assert driver.execute_script("return window.hit") is None
    assert browser.errors() == []
