"""A record as TensorBoard's event files; the one file that knows TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from normfield.errors import InvalidInput


def check_tensorboard() -> None:
    """Refuse where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise InvalidInput(
            expected="TensorBoard, to write its files",
            got="none",
            instead="pip install 'normfield[tensorboard]', or use to_frame()",
        )


def write_tensorboard(rows: Iterable[Any], folder: str | os.PathLike[str]) -> Path:
    """Write rows (step, instrument, quantity, layer, value) as scalars.

    Raises
    ------
    InvalidInput
        TensorBoard is not installed, or the folder cannot be made.
    """
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    target = _made(folder)
    with SummaryWriter(str(target)) as writer:
        for row in rows:
            writer.add_scalar(_tag(row), row.value, row.step)
    return target


def _made(folder: str | os.PathLike[str]) -> Path:
    target = Path(folder).absolute()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            expected=f"a folder that can be made, {target}",
            got=error.strerror or str(error),
            instead="choose another",
        ) from error
    return target


def _tag(row: Any) -> str:
    layer = [row.layer] if isinstance(row.layer, str) else []
    return "/".join([row.instrument, row.quantity, *layer])
