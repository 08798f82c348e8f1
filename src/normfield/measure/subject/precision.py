"""Noticing that a model computes in half precision somewhere inside, where its derivatives lose their digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class HalfPrecisionWatch(TorchFunctionMode):
    """While active, notes the half-precision dtypes of what torch's functions return.

    A mode of dispatch would see inside them too, but its first use imports torch's compiler for more than a second.

    Attributes
    ----------
    found : set of str
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Iterable[Any] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation and look at its results."""
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor) and part.dtype in (torch.float16, torch.bfloat16):
                self.found.add(str(part.dtype).removeprefix("torch."))
        return result
