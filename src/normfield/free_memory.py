"""How much of the machine's memory may be planned with."""

from __future__ import annotations

import os
from pathlib import Path

#: The part of what is free that is planned with: the rest is for what cannot be foreseen.
SHARE = 0.5
_UNKNOWN = 8 * 2**30
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")


def usable_bytes() -> int:
    """Half of the memory that is free; half of 8 GiB where nobody tells."""
    free = [size for size in (_free_in_machine(), _free_in_group()) if size is not None]
    return int(SHARE * min(free, default=_UNKNOWN))


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
