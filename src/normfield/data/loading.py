"""The one way in: from a name, a file, a loader or tensors to a data set."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from normfield.data.checks import check_choice, check_count, check_seed
from normfield.data.dataset import STANDARDISATIONS, DataSet, Standardisation
from normfield.data.foreign_errors import described
from normfield.data.given import from_pair
from normfield.data.loader import ReadLimits, from_dataset, from_loader
from normfield.data.named import NAMED, from_name
from normfield.data.npz import from_npz
from normfield.data.random_state import seeded_random_state
from normfield.data.standardise import standardised
from normfield.data.target import is_target, load_target
from normfield.errors import InvalidInput

_ACCEPTED = (
    f"a name ({', '.join(NAMED)}), a .npz file, path.py:function, package.module:function, "
    "a pair of tensors (x, y), a DataLoader, a Dataset or a DataSet"
)


@dataclass(frozen=True)
class _Request:
    """What was asked for, besides the data themselves."""

    samples: int | None
    seed: int
    classes: int | None
    max_bytes: int
    standardise: Standardisation | None
    quiet: bool

    def __post_init__(self) -> None:
        if self.standardise is not None:
            check_choice(self.standardise, STANDARDISATIONS, "standardise")
        for what in ("samples", "classes", "max_bytes"):
            value = getattr(self, what)
            if value is not None:
                check_count(value, what)
        check_seed(self.seed)


def load(
    name_or_data: Any,
    samples: int | None = None,
    standardise: Standardisation | None = None,
    seed: int = 0,
    *,
    classes: int | None = None,
    max_bytes: int = 2**30,
    quiet: bool = False,
) -> DataSet:
    """Make a data set of a name, a file, a loader or tensors.

    With m and s the one mean and the one standard deviation of all entries of the training samples used,
    "global" maps x to (x - m)/s, so that the mean of ‖x‖² is N_0, the number of entries of an input;
    "pixel" does so with m_i and s_i for each entry i, an entry that never varies becoming 0. Test inputs
    are mapped with the same numbers.

    Parameters
    ----------
    name_or_data
        ``"digits"`` (in the package), ``"mnist"``, ``"fashion-mnist"`` or ``"cifar10"`` (in the folder that the
        environment variable NORMFIELD_DATA names, else in the user's cache folder, into which they are
        downloaded when they are in neither); a ``.npz`` file with inputs and targets, or x and y, and optionally
        test_inputs and test_targets; a pair (x, y) of tensors or arrays; a ``DataLoader`` or ``Dataset``,
        read once; a string ``path.py:function`` or ``package.module:function`` whose function, called
        without arguments, returns any of these; or a `DataSet`.
    samples : int, optional
        Keep the first so many training samples; of a shuffling loader, the first in the order that `seed`
        gives.
    standardise : {"global", "pixel", "none"}, optional
        By default "global" for a named set, and data of your own as they are.
    seed : int
        Where global generators start while a loader is read or a function called; they are put back
        afterwards.
    classes : int, optional
        Number of classes; by default 1 + the largest label.
    max_bytes : int
        Bytes kept of a loader or ``Dataset``; where it holds more, the rest is not read and ``note`` says so.
    quiet : bool
        Show no progress of a download; it is shown on standard error, on a terminal only.

    Returns
    -------
    DataSet
        Inputs (samples, *shape), images as (channels, rows, columns); targets (samples,) or (samples, outputs).

    Raises
    ------
    InvalidInput
        Something else than the above, or data that are empty, not finite, of labels out of range or of
        lengths that differ.
    DataUnavailable
        A file is truncated or corrupt, or is not here and could not be downloaded.

    Examples
    --------
    >>> print(load("digits", samples=400))
    digits: 400 of 1,797 samples, shape (1, 8, 8), 10 classes, one mean and one standard deviation
    """
    request = _Request(samples, seed, classes, max_bytes, standardise, quiet)
    source, name = _resolved(name_or_data, request)
    data = _first(_read(source, name, request), samples)
    by_default = "global" if isinstance(source, str) and source in NAMED else data.standardise
    return standardised(data, standardise or by_default)


def _first(data: DataSet, samples: int | None) -> DataSet:
    return data if samples in (None, data.samples_used) else data.subset(samples)


def _resolved(source: Any, request: _Request) -> tuple[Any, str | None]:
    """Call the function that a target names and return what it gives, with the target as the data's name."""
    if not isinstance(source, str) or source in NAMED or source.endswith(".npz") or not is_target(source):
        return source, None
    given = _called(load_target(source), source, request.seed)
    if isinstance(given, str) and given not in NAMED and is_target(given):
        raise InvalidInput(
            expected=f"{source} to return data or a name",
            got=f"another target, {given!r}",
            instead="name that one",
        )
    return given, source


def _called(function: Callable[..., Any], target: str, seed: int) -> Any:
    try:
        with seeded_random_state(seed):
            return function()
    except (Exception, SystemExit) as error:
        raise InvalidInput(
            expected=f"{target} to return data when called without arguments",
            got=described(error, function.__code__.co_filename if hasattr(function, "__code__") else None),
            instead="correct the function",
        ) from error


def _read(source: Any, name: str | None, request: _Request) -> DataSet:
    """Read a source of any accepted kind, values as they are."""
    if isinstance(source, DataSet):
        return _of_classes(source, request.classes)
    if isinstance(source, str) and source in NAMED:
        return from_name(source, request.samples, request.classes, request.quiet)
    if isinstance(source, (str, Path)) and str(source).endswith(".npz"):
        return from_npz(Path(source).expanduser(), request.classes, name)
    if isinstance(source, (DataLoader, Dataset)):
        return _from_torch(source, name, request)
    if isinstance(source, (tuple, list)) and len(source) == 2:
        inputs, targets = source
        return from_pair(inputs, targets, name or "given data", request.classes)
    raise InvalidInput(expected=_ACCEPTED, got=_shown(source), instead=_hint(source))


def _from_torch(source: DataLoader[Any] | Dataset[Any], name: str | None, request: _Request) -> DataSet:
    """Read a loader, or a data set of torch's."""
    limits = ReadLimits(request.samples, request.max_bytes, request.seed)
    if isinstance(source, DataLoader):
        return from_loader(source, name or "given loader", request.classes, limits)
    return from_dataset(source, name or type(source).__name__, request.classes, limits)


def _of_classes(data: DataSet, classes: int | None) -> DataSet:
    if classes not in (None, data.classes):
        raise InvalidInput(
            expected=f"classes={data.classes}, as {data.name} has", got=str(classes), instead="leave it out"
        )
    return data


def _shown(source: Any) -> str:
    if isinstance(source, (str, Path)):
        return repr(str(source))
    size = f" of {len(source)}" if isinstance(source, (tuple, list)) else ""
    return f"{type(source).__name__}{size}"


def _hint(source: Any) -> str:
    """Guess what was meant."""
    text = str(source) if isinstance(source, (str, Path)) else ""
    if text.endswith(".py"):
        return f"name the function as well, {text}:function"
    close = difflib.get_close_matches(text.lower(), NAMED, n=1)
    return f"did you mean {close[0]}?" if close else ""
