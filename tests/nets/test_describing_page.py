"""The page on describing shows what its code prints."""

import contextlib
import io
import itertools
import re
from pathlib import Path

import torch

import normfield as nf

PAGE = (Path(__file__).parents[2] / "docs" / "describing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_code_prints_what_stands_below_it():
    names: dict = {}
    with torch.random.fork_rng(devices=[]):
        for (language, code), (_, shown) in itertools.pairwise(BLOCKS):
            if language == "python":
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(code, names)
                assert printed.getvalue().split() == shown.split()


def test_the_description_by_hand_is_one():
    (text,) = (code for language, code in BLOCKS if language == "toml")
    assert nf.Network.from_toml(text).depth == 3
