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
def plainly(device: torch.device) -> Iterator[None]:
    """While open: attention by torch's plain kernel, no autocast around the model, compiled parts uncompiled."""
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_no_fast_path())
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if "torch._dynamo" in sys.modules:  # nothing is compiled before it is loaded, which takes a second
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield
