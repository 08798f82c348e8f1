"""The public door: its names, what it loads, and the examples in the docstrings behind it."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import normfield as nf

PROMISED = (
    *("mlp", "convnet", "Network", "Dense", "Conv", "BatchNorm", "LayerNorm", "RMSNorm", "Activation"),
    *("Flatten", "AveragePool", "GlobalAveragePool", "Residual", "ActivationFunction"),
    *("mean_field", "MeanField", "build", "curvature", "Curvature"),
    *("describe", "examine", "Description", "MaxPool", "read_network"),
    *("critical_learning_rate", "CriticalLearningRate", "diagnose", "Diagnosis", "load", "DataSet"),
    *("NormfieldError", "InvalidInput", "NotCovered", "NumericalFailure", "DataUnavailable"),
)
SOURCE = Path(nf.__file__)
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(nf.__path__, "normfield.")
    if not found.name.endswith("__main__")  # importing it runs the program
)


def loaded_by(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after running the code."""
    ending = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{ending}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_are_reachable(name):
    assert name in nf.__all__
    assert name in dir(nf)
    assert getattr(nf, name).__name__ == name


def test_every_public_name_can_be_loaded_and_is_documented():
    for name in nf.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(nf, name)), f"{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'learning_rate'"):
        nf.learning_rate  # noqa: B018


def test_the_door_loads_nothing_heavy():
    assert not loaded_by("import normfield") & {
        "torch",
        "numpy",
        "scipy",
        "pandas",
        "plotly",
        "click",
        "rich",
    }


def test_theory_never_loads_torch():
    loaded = loaded_by("import normfield as nf; nf.mean_field(nf.mlp(64, 300, 4, 10)).max_learning_rate(0.9)")
    assert "numpy" in loaded
    assert not loaded & {"torch", "pandas", "plotly"}


def test_type_checkers_and_the_lazy_door_see_the_same_names():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    shown = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in shown.body if isinstance(node, ast.ImportFrom)]
    for_checkers = {
        (node.module, alias.name) for node in imports for alias in node.names if alias.asname is None
    }
    lazy = {(f"normfield.{home}", name) for home, names in nf._HOMES.items() for name in names}
    assert for_checkers == lazy


def test_no_module_shadows_a_public_name():
    files = {path.stem for path in SOURCE.parent.iterdir()}
    assert not files & set(nf.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(name):
    public = {word: getattr(nf, word) for word in nf.__all__}  # what a reader has at hand
    tried = doctest.testmod(importlib.import_module(name), extraglobs=public)
    assert tried.failed == 0


def test_the_main_verbs_have_examples_that_were_tried():
    finder = doctest.DocTestFinder()
    for verb in (nf.mlp, nf.mean_field, nf.build, nf.curvature, nf.critical_learning_rate, nf.load):
        assert any(test.examples for test in finder.find(verb)), f"{verb.__name__} has no example"
