"""Running a model by operations that autograd can differentiate twice, in full precision."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Transformer layers take their ordinary forward, also in eval mode; their fused one has no derivative."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """While open the caller's autocast is off: it would round products and even inner products of vectors."""
    with ExitStack() as stack:
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def plainly() -> Iterator[None]:
    """While open attention takes torch's plain kernel, and compiled parts run uncompiled."""
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_no_fast_path())
        if "torch._dynamo" in sys.modules:  # nothing is compiled before it is loaded, which takes a second
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield
