"""Memory: how much of it there is for this process and its servers."""

import os
from pathlib import Path

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes(limits: tuple[str, ...] = _CONTAINER_LIMITS) -> int:
    """The machine's memory, or what a container (cgroup version 2 or 1) is allowed of it."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in limits:
        path = Path(limit)
        if path.is_file() and (text := path.read_text().strip()).isdigit():  # or `max`
            found.append(int(text))
    return min(found)
