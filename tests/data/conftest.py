"""What several tests of data need."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def forbidden(monkeypatch) -> Callable[[Path], None]:
    """Make a folder one that may not be searched, for root too: what looks inside gets EACCES."""

    def forbid(folder: Path) -> None:
        for module, name in ((os, "stat"), (io, "open")):
            monkeypatch.setattr(module, name, refusing(getattr(module, name), folder))

    return forbid


def refusing(call: Callable, folder: Path) -> Callable:
    """A call of the system that refuses paths within the folder."""

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, str | os.PathLike) and folder in Path(path).parents:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return call(path, *args, **kwargs)

    return refuse
