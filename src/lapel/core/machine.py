"""What this process may use of its machine."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
NO_LIMIT = 1e9


def cores(groups: Path = CGROUPS) -> int:
    """How many cores this process may use: those it may run on, and no more than its container's quota, rounded up.

    More threads than that wait for each other: a container with 2 cores of a machine with 64 would start 64.

    Args:
        groups: Where Linux tells of control groups, version 2 (``cpu.max``) or 1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.ceil(_quota(groups))))


def _quota(groups: Path) -> float:
    """Cores' worth of time that the container may take; NO_LIMIT without one."""
    try:
        if (whole := groups / "cpu.max").exists():
            most, period = whole.read_text().split()
        else:
            most, period = ((groups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        share = float(most) / float(period)  # "max" is no number, and -1 no limit either
    except (OSError, ValueError, ZeroDivisionError):
        return NO_LIMIT
    return share if share > 0 else NO_LIMIT


def memory_bytes(groups: Path = CGROUPS) -> int:
    """Bytes of memory this process may use: the machine's, or its container's.

    Args:
        groups: Where Linux tells of control groups, version 2 (``memory.max``) or 1.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else [8 * 10**9]
    for limit in (groups / "memory.max", groups / "memory" / "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(int(limit.read_text()))
    return min(limits)
