"""How much memory may be used, and in what words."""

from __future__ import annotations

import os
from pathlib import Path

import torch

#: The part of what is free that a diagnosis plans to use: the rest is for what cannot be foreseen.
SHARE = 0.5
_UNKNOWN = 8 * 2**30
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")


def usable_bytes(device: torch.device) -> int:
    """Half of the memory that is free on a device; half of 8 GiB where nobody tells."""
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[0])
    free = [size for size in (_free_in_machine(), _free_in_group()) if size is not None]
    return int(SHARE * min(free, default=_UNKNOWN))


def in_words(size: float) -> str:
    """Bytes as GiB or MiB: ``3.2 GiB``."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{max(size / 2**20, 1):.0f} MiB"


def _free_in_machine() -> int | None:
    """What Linux calls available, else the free pages; None where neither is told."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _free_in_group() -> int | None:
    """What a container's limit leaves; None without one."""
    try:
        most, used = (Path(name).read_text(encoding="ascii").strip() for name in _LIMITS)
        return int(most) - int(used)
    except (OSError, ValueError):
        return None
