"""Every study that there is. To add one: a file that ends in ``STUDY = Study(...)``, and its name here."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from normfield.errors import InvalidInput
from normfield.studies.frame import Study

# A study's file is its name with underscores, loaded when asked for, so that a study of theory never waits for torch.
_NAMES = (
    "article-deep-gradients",
    "article-residual-depth",
    "bjorck-divergence",
    "bjorck-learning-rates",
    "cai-learning-rates",
    "cross-batch-correlation",
    "daneshmand-orthogonality",
    "de-branch-variance",
    "explosion-rate-scans",
    "ioffe-percentiles",
    "kernel-against-measurement",
    "kohler-halfspaces",
    "kohler-least-squares",
    "kohler-networks",
    "ntk-spectrum",
    "santurkar-landscape",
    "santurkar-linear-network",
    "santurkar-noisy-batch-norm",
    "theory-against-measurement",
    "wei-fig-1",
    "wei-fig-2",
    "wei-fig-3",
    "wei-fig-4",
    "yang-fig-1",
    "yang-fig-2",
    "yang-fig-3",
    "yang-fig-4",
)


def study_names() -> tuple[str, ...]:
    """The names of all studies.

    Examples
    --------
    >>> "wei-fig-1" in study_names()
    True
    """
    return _NAMES


def study(name: str) -> Study[Any]:
    """A study by name: a paper's claim, and how it is tested.

    Parameters
    ----------
    name
        One of `study_names`.

    Returns
    -------
    Study

    Raises
    ------
    InvalidInput
        There is no such study; the message names the nearest.

    Examples
    --------
    >>> print(study("wei-fig-1").citation)
    Wei, Stokes, Schwab 2019, Fig. 1 (Eqs. 20–25, 34–45)
    """
    if name not in _NAMES:
        near = _near(str(name).lower())
        raise InvalidInput(
            expected=f"a study: {', '.join(_NAMES)}",
            got=repr(name),
            instead=f"did you mean {' or '.join(near)}?" if near else "",
        )
    return import_module(f"normfield.studies.{name.replace('-', '_')}").STUDY


def _near(given: str) -> list[str]:
    """Names that hold what was given, or look like it."""
    holding = [name for name in _NAMES if given and given in name]
    return holding or difflib.get_close_matches(given, _NAMES, n=2, cutoff=0.5)
