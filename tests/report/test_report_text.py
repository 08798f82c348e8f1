from __future__ import annotations

import json
import math

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.report.text import escaped, one_line, plot_text, script_json, typeset

HOSTILE = [
    "</script><script>x()</script>",
    "<!--<script>",
    "\u2028",
    "]]>",
    "&lt;",
    "'\"",
    "{{x}}",
    "漢字",
    "\x00\x1b[31m",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_json_in_a_script_is_the_same_and_cannot_leave_it(text):
    written = script_json({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert not set("<>&\u2028\u2029") & set(written)


def test_json_has_null_for_what_json_has_not():
    data = {"a": math.inf, "b": [math.nan, 1.5], "d": np.array([1.0, np.nan]), "e": (1, True)}
    expected = {"a": None, "reason": "infinite", "b": [None, 1.5], "d": [1.0, None], "e": [1, True]}
    assert json.loads(script_json(data)) == expected


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(
        InvalidInput, match=r"expected data that JSON can hold, got .*object.*; give mappings, lists"
    ):
        script_json({"a": object()})


def test_json_keeps_every_digit():
    values = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 2**60]
    assert json.loads(script_json(values)) == values


def test_one_line_takes_the_terminal_nothing_it_obeys():
    assert one_line("a\n b\t\x1b[31mred\x07") == "a b �[31mred�"


def test_escaping_covers_text_and_attributes():
    assert escaped("<a href=\"x\" id='y'>&") == "&lt;a href=&quot;x&quot; id=&#x27;y&#x27;&gt;&amp;"


def test_plot_labels_keep_their_quotes():
    assert plot_text("<b>\"q\" & 'r'") == "&lt;b&gt;\"q\" &amp; 'r'"


def test_lone_surrogates_do_not_break_the_file():
    for text in (escaped("a\udcff"), plot_text("a\udcff"), script_json("a\udcff")):
        assert text.encode("utf-8").decode("utf-8") == text


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("λ_max is 3", "λ<sub>max</sub> is 3"),
        ("x_train, my_λ_max", "x_train, my_λ_max"),
        ("below 4e-4", 'below <span class="number">4e-4</span>'),
        ("<λ_max>", "&lt;λ<sub>max</sub>&gt;"),
    ],
)
def test_letters_with_a_subscript_are_typeset(text, markup):
    assert typeset(text) == markup
