"""The one way in: from a name, a file, a loader or tensors to a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from normfield.data.dataset import DataSet, Standardisation
from normfield.data.foreign_errors import described
from normfield.data.given import Form
from normfield.data.named import NAMED
from normfield.data.random_state import seeded_random_state
from normfield.data.sources import Request, read_source
from normfield.data.standardise import standardised
from normfield.data.target import is_target, load_target
from normfield.errors import InvalidInput
from normfield.seeds import whole_seed


def load(
    name_or_data: Any,
    samples: int | None = None,
    standardise: Standardisation | None = None,
    seed: int = 0,
    *,
    classes: int | None = None,
    max_bytes: int = 2**30,
    inputs: Form | None = None,
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
        test_inputs and test_targets; a pair (x, y) of tensors or arrays; a mapping of the same names as the
        file's, or of inputs of any names beside targets (or target, labels, label, y); a ``DataLoader`` or
        ``Dataset``, read once; a `DataSet`; a pair (training data, test data) of the last three; or a string
        ``path.py:function`` or ``package.module:function`` whose function, called without arguments,
        returns any of these. x may be a tuple or dict of tensors, nested: a model's arguments; y a dict,
        for a loss of your own. A pair of pairs of tensors could mean several things, and is refused.
    samples : int, optional
        Keep the first so many training samples; of a shuffling loader, the first in the order that `seed`
        gives.
    standardise : {"global", "pixel", "none"}, optional
        By default "global" for a named set, and data of your own as they are.
    seed : int
        Where global generators start while a loader is read or a function called; they are put back
        afterwards.
    classes : int, optional
        Number of classes; by default 1 + the largest label. Given, it also says that a table of whole numbers
        is a label at each position, shape (samples, positions), rather than rows of outputs.
    max_bytes : int
        Bytes kept of a loader or ``Dataset``; where it holds more, the rest is not read and ``note`` says so.
    inputs : {"floats", "as given"}, optional
        By default one tensor or array becomes float32, but a torch tensor of int32 or int64 stays whole:
        indices, as of words. In tuples and dicts whole numbers and truth values stay. "floats" makes all
        float32, "as given" keeps all whole numbers.
    quiet : bool
        Show no progress of a download; it is shown on standard error, on a terminal only.

    Returns
    -------
    DataSet
        Inputs (samples, *shape), images as (channels, rows, columns), or tuples or dicts of such; targets
        (samples,), (samples, outputs), (samples, *positions) or a dict.

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
    request = Request(samples, whole_seed(seed), classes, max_bytes, standardise, inputs, quiet)
    source, name = _resolved(name_or_data, request)
    data = _first(read_source(source, name, request), samples)
    by_default = "global" if isinstance(source, str) and source in NAMED else data.standardise
    return standardised(data, standardise or by_default)


def _first(data: DataSet, samples: int | None) -> DataSet:
    return data if samples in (None, data.samples_used) else data.subset(samples)


def _resolved(source: Any, request: Request) -> tuple[Any, str | None]:
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
