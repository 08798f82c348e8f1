"""How much memory may be used, and in what words."""

from __future__ import annotations

import torch

from normfield import free_memory
from normfield.free_memory import SHARE


def usable_bytes(device: torch.device) -> int:
    """Half of the memory that is free on a device; half of 8 GiB where nobody tells."""
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[0])
    return free_memory.usable_bytes()


def in_words(size: float) -> str:
    """Bytes as GiB or MiB: ``3.2 GiB``."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{max(size / 2**20, 1):.0f} MiB"
