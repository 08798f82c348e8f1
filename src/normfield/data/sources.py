"""Reading a source of any accepted kind into a data set, values as they are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from torch.utils.data import DataLoader, Dataset

from normfield.data.checks import check_choice, check_count
from normfield.data.dataset import STANDARDISATIONS, DataSet, Standardisation
from normfield.data.given import Form, as_inputs, from_mapping, from_pair
from normfield.data.loader import Reading, from_dataset, from_loader
from normfield.data.named import NAMED, from_name
from normfield.data.npz import from_npz
from normfield.errors import InvalidInput

_ACCEPTED = (
    f"a name ({', '.join(NAMED)}), a .npz file, path.py:function, package.module:function, "
    "a pair of tensors (x, y), a mapping of tensors, a DataLoader, a Dataset or a DataSet, or two of these three"
)
_WHOLE = (DataLoader, Dataset, DataSet)


@dataclass(frozen=True)
class Request:
    """What was asked for, besides the data themselves."""

    samples: int | None
    seed: int
    classes: int | None
    max_bytes: int
    standardise: Standardisation | None
    form: Form | None
    quiet: bool

    def __post_init__(self) -> None:
        if self.standardise is not None:
            check_choice(self.standardise, STANDARDISATIONS, "standardise")
        if self.form is not None:
            check_choice(self.form, get_args(Form), "inputs")
        for what in ("samples", "classes", "max_bytes"):
            value = getattr(self, what)
            if value is not None:
                check_count(value, what)

    @property
    def reading(self) -> Reading:
        """What of it a loader is read with."""
        return Reading(self.samples, self.max_bytes, self.seed, self.classes, self.form)


def read_source(source: Any, name: str | None, request: Request) -> DataSet:
    """Read a source of any accepted kind.

    Raises
    ------
    InvalidInput
        Another kind, or data that a data set cannot be.
    """
    if isinstance(source, _WHOLE):
        return _from_whole(source, name, request)
    if isinstance(source, str) and source in NAMED:
        return from_name(source, request.samples, request.classes, request.quiet)
    if isinstance(source, (str, Path)) and str(source).endswith(".npz"):
        return from_npz(Path(source).expanduser(), request.classes, name, request.form)
    if isinstance(source, Mapping):
        return from_mapping(source, name or "given data", request.classes, request.form)
    if isinstance(source, (tuple, list)) and len(source) == 2:
        if all(isinstance(part, _WHOLE) for part in source):
            return _from_two(source[0], source[1], name, request)
        return from_pair(source[0], source[1], name or "given data", request.classes, request.form)
    raise InvalidInput(expected=_ACCEPTED, got=_shown(source), instead=_hint(source))


def _from_whole(source: Any, name: str | None, request: Request) -> DataSet:
    """Read a loader, a data set of torch's, or one of ours."""
    if isinstance(source, DataSet):
        return _in_form(_of_classes(source, request.classes), request.form)
    if isinstance(source, DataLoader):
        return from_loader(source, name or "given loader", request.reading)
    return from_dataset(source, name or type(source).__name__, request.reading)


def _from_two(train: Any, test: Any, name: str | None, request: Request) -> DataSet:
    """Read training data and test data, each whole in itself."""
    first = _from_whole(train, name, request)
    second = _from_whole(test, name, replace(request, samples=None))
    if (first.standardise, second.standardise) != ("none", "none"):
        raise InvalidInput(
            expected="training and test data that are not standardised yet",
            got=f'standardise="{first.standardise}" and "{second.standardise}"',
            instead='load both with standardise="none"',
        )
    labelled = first.classes is not None and second.classes is not None
    notes = [first.note, f"test data: {second.note}" if second.note else ""]
    return replace(
        first,
        classes=max(first.classes or 0, second.classes or 0) if labelled else first.classes,
        test_inputs=second.inputs,
        test_targets=second.targets,
        note="; ".join(filter(None, notes)),
    )


def _of_classes(data: DataSet, classes: int | None) -> DataSet:
    if classes not in (None, data.classes):
        raise InvalidInput(
            expected=f"classes={data.classes}, as {data.name} has", got=str(classes), instead="leave it out"
        )
    return data


def _in_form(data: DataSet, form: Form | None) -> DataSet:
    """The data set with its whole numbers made floats, where that is asked for."""
    if form != "floats":
        return data
    test = None if data.test_inputs is None else as_inputs(data.test_inputs, "test inputs", form)
    return replace(data, inputs=as_inputs(data.inputs, "inputs", form), test_inputs=test)


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
