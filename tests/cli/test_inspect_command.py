"""``normfield inspect`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import normfield as nf
from normfield.cli.instruments import INSTRUMENTS
from normfield.cli.program import program
from normfield.errors import InvalidInput

DATA = ["--data", "digits", "--batch-size", "64"]
SMALL = ["inspect", "--data", "digits", "--width", "24", "--batch-size", "64", "--batches", "4"]


def invoked(*flags: str) -> Result:
    return CliRunner().invoke(program, [*SMALL, *flags])


def answered(*flags: str) -> str:
    done = invoked(*flags)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_instrument_has_words_and_json(name: str) -> None:
    text = answered("--what", name)
    assert INSTRUMENTS[name].words in text
    assert list(json.loads(answered("--what", name, "--json"))) == [name]


def test_numbers_are_those_of_the_python_door() -> None:
    found = json.loads(
        answered("--what", "signals", "--what", "landscape", "--learning-rate", "0.02", "--json")
    )
    digits = nf.load("digits").flattened()
    model = nf.build(nf.mlp(inputs=64, width=24, depth=4, outputs=10), seed=0)
    batch = digits.batches(64, seed=0)[0]
    assert found["signals"]["layers"] == json.loads(nf.signals(model, batch).to_json())["layers"]
    expected = nf.landscape(model, batch, learning_rate=0.02)
    assert found["landscape"]["losses"] == pytest.approx(expected.losses.tolist())


def test_what_a_module_does_not_have_is_a_line_and_the_others_go_on() -> None:
    found = json.loads(answered("--no-batch-norm", "--what", "all", "--json"))
    assert list(found) == list(INSTRUMENTS)
    assert found["signals"]["layers"]


def test_the_default_is_quick_and_says_what_each_is() -> None:
    text = answered()
    for name in ("signals", "landscape", "scale_invariance"):
        assert INSTRUMENTS[name].words in text


def test_a_page_with_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert f"page: {page}" in answered("--html", str(page))
    text = page.read_text(encoding="utf-8")
    assert "The loss along its gradient" in text
    assert text.count('class="figure') >= 2 or text.count("<figure") >= 2


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--what", "signal"), "--what one of signals, "),
        (("--html", "nowhere/at/all.html"), "nowhere"),
    ],
)
def test_bad_input_is_one_line(flags: tuple[str, ...], told: str) -> None:
    done = invoked(*flags)
    assert isinstance(done.exception, InvalidInput)
    assert told in str(done.exception)
    assert "\n" not in str(done.exception)


MODELS = """
from torch import nn

def asleep():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Dropout(0.5), nn.Linear(20, 10)).eval()

def awake():
    return asleep().train()

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(20), nn.Linear(20, 10))
"""


def test_a_module_in_eval_mode_is_inspected_as_it_trains(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(MODELS, encoding="utf-8")
    found = [
        json.loads(
            CliRunner().invoke(program, ["inspect", f"{tmp_path}/own.py:{name}", *DATA, "--json"]).stdout
        )
        for name in ("asleep", "awake")
    ]
    assert found[0]["signals"] == found[1]["signals"]
    assert found[0]["landscape"]["losses"] == found[1]["landscape"]["losses"]


def test_a_lazy_module_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(MODELS, encoding="utf-8")
    done = CliRunner().invoke(program, ["inspect", f"{tmp_path}/own.py:lazy", *DATA])
    assert isinstance(done.exception, InvalidInput)
    assert "run one forward pass through it in build" in str(done.exception)


def test_a_rate_of_zero_is_refused() -> None:
    done = invoked("--learning-rate", "0")
    assert done.exit_code == 2
    assert "--learning-rate" in done.output
