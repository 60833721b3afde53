"""Small files in which a Linux kernel answers: /proc, /sys and control groups, below a root that tests replace.

What cannot be read is None, never a guess: another system, an older kernel or a container may lack any of them.
"""

from pathlib import Path
from typing import Final

ROOT: Final = Path("/")


def read_text(path: Path) -> str | None:
    """The content without its line end; None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_number(path: Path) -> int | None:
    """The whole number that the file holds; None if it cannot be read or holds none."""
    text = read_text(path) or ""
    return int(text) if text.removeprefix("-").isdecimal() else None


def find_cgroups(root: Path = ROOT) -> tuple[Path, ...]:
    """Folders of the control groups that may limit our processor time, our own first; version 2 or version 1.

    The folder is also tried without the path that ``/proc/self/cgroup`` names: inside a container the mount often
    begins at the container's own group, while the path is the host's.
    """
    base, path = root / "sys/fs/cgroup", ""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, found = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            path = found
        elif "cpu" in controllers.split(","):  # version 1, or both side by side: the limits stand here
            named = (base / controllers, base / "cpu")
            base, path = next((folder for folder in named if folder.is_dir()), base), found
            break
    inner = base / path.strip("/")
    folders = [inner, *inner.parents]
    return tuple(folder for folder in folders if folder.is_relative_to(base) and folder.is_dir())


def count_throttled(root: Path = ROOT) -> int | None:
    """How often a control group's quota has stopped us so far, in periods; None if nobody counts."""
    found = []
    for folder in find_cgroups(root):
        lines = (read_text(folder / "cpu.stat") or "").splitlines()
        found += [int(line.split()[1]) for line in lines if line.startswith("nr_throttled ")]
    return sum(found) if found else None


def find_quota(root: Path = ROOT) -> float | None:
    """The tightest quota of a control group in cores, infinite if no group sets one; None if no group can be read."""
    found = [_quota_of(folder) for folder in find_cgroups(root)]
    return min((quota for quota in found if quota is not None), default=None)


def _quota_of(folder: Path) -> float | None:
    words = (read_text(folder / "cpu.max") or "").split()
    if len(words) == 2:
        return float("inf") if words[0] == "max" else int(words[0]) / int(words[1])
    quota, period = read_number(folder / "cpu.cfs_quota_us"), read_number(folder / "cpu.cfs_period_us")
    if quota is None or not period:
        return None
    return quota / period if quota > 0 else float("inf")
