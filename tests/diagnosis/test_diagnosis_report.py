"""The report of a diagnosis in a real headless browser."""

import json

import pytest

import normfield as nf


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    found = nf.diagnose(nf.mlp(64, 100, 3, 10), "digits", budget=12)
    return found, found.to_html(tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_it_draws_without_error_and_without_network(browser, report, width, scheme):
    _, path = report
    driver = browser.open(path, width=width, scheme=scheme)
    drawn = driver.execute_script(
        "return [...document.querySelectorAll('.main-svg')].map(svg => svg.getBoundingClientRect().width)"
    )
    assert len(drawn) >= 4  # both shares, η* against γ, the runs
    assert min(drawn) > 100
    assert browser.errors() == []
    assert browser.requests() == [path.as_uri()]
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_its_table_holds_the_numbers_of_the_json(browser, report):
    found, path = report
    driver = browser.open(path)
    kept = json.loads(driver.execute_script("return document.getElementById('normfield-data').textContent"))
    assert kept["answers"] == json.loads(found.to_json())["answers"]
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
    assert shown == 5


def test_it_says_what_was_found_and_asked(browser, report):
    found, path = report
    text = browser.open(path).execute_script("return document.body.innerText")
    for heading in ("What was found", "The answers side by side", "What γ would change", "What was asked"):
        assert heading in text
    assert "seed 0" in text
    assert "digits: 1,437 of 1,797 samples" in text
    assert all(name in text for name in ("Theory", "Kernel", "Measured curvature", "Training"))
    assert found.answers["kernel"].reason[1:] in text


def test_a_hostile_name_is_only_text(browser, tmp_path):
    class Evil(__import__("torch").nn.Sequential):
        pass

    Evil.__name__ = "<img src=x onerror=alert(1)>"
    import torch

    module = Evil(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    path = nf.diagnose(module, "digits", budget=0.01).to_html(tmp_path / "evil.html")
    driver = browser.open(path)
    assert driver.execute_script("return document.querySelectorAll('img').length") == 0
    assert Evil.__name__ in driver.execute_script("return document.body.innerText")
    assert browser.errors() == []
