"""The data of a task: loaded once in each process that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from normfield.data import DataSet, load
from normfield.network import Shape
from normfield.samples import Samples, leaves
from normfield.train.identity import digest, tensor_digest


class LoadedData:
    """Data by name, loaded anew in every process; or data that were given, which travel with the task."""

    def __init__(self, data: Any, samples: int | None, floats: bool) -> None:
        self._name = str(data) if isinstance(data, str | Path) else None
        self._samples, self._floats = samples, floats
        self._set = None if self._name is not None else self._loaded(data)

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be loaded by name."""
        return vars(self) | ({} if self._name is None else {"_set": None})

    def in_shape(self, shape: Shape | None) -> DataSet:
        """The data, their inputs in this shape where there is one; loaded at the first call."""
        if self._set is None:
            self._set = self._loaded(self._name)
        return self._set if shape is None or shape == _shape(self._set) else self._set.shaped(shape)

    @property
    def words(self) -> str:
        """Which data these are: the same in every process and on every day.

        Those that were given are known bit for bit. Those by name are standardised anew in each process, where the last
        digit may differ: their targets stand for them.
        """
        data = self.in_shape(None)
        parts = [data.targets] if self._name is not None else [data.inputs, data.targets, data.test_inputs]
        content = [
            tensor_digest(each) for part in parts if part is not None for each in _exact(part, self._name)
        ]
        return f"{data} [{digest(content)}]"

    def _loaded(self, data: Any) -> DataSet:
        return load(data, samples=self._samples, inputs="floats" if self._floats else None)


def _exact(part: Samples, name: str | None) -> list[torch.Tensor]:
    """The tensors that are bit for bit the same in every process."""
    return [each for each in leaves(part) if name is None or not each.is_floating_point()]


def _shape(data: DataSet) -> Shape | None:
    return tuple(data.inputs.shape[1:]) if isinstance(data.inputs, torch.Tensor) else None
