"""How much of the machine others take while we measure, and the rule by which a sample is void.

The kernel counts what every core does in hundredths of a second, so shares mean something from about a second on.
"""

import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.measure.kernel import ROOT, count_throttled, read_number, read_text
from bench.ranges import Share

#: Of more cores the frequency is not asked: each may take 20 ms to answer (x86 before Linux 5.18).
_CORES_ASKED: Final = 8
#: Fields of the first line of /proc/stat; what guests take is part of `user` and `nice`.
_FIELDS: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


class NoiseLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shares of the machine's processor time that others may take before a sample is void; 1 voids nothing."""

    steal_share: Share = 0.05
    foreign_cpu_share: Share = 0.25


def void_reason(noise: Mapping[str, Any], limits: NoiseLimits) -> str:
    """Why a sample taken during ``noise`` (of `NoiseWatch.lap`) is void; '' if it counts.

    The rule sees what others did and never the sample: to leave out what looks slow would make every result look as
    good, and every difference as sure, as one likes.  What the system does not tell (None) makes nothing void.
    """
    for name, limit, what in (
        ("steal_share", limits.steal_share, "of the processor time was taken by other machines"),
        ("foreign_cpu_share", limits.foreign_cpu_share, "of the processor time was taken by other processes"),
    ):
        share = noise.get(name)
        if share is not None and share > limit:
            return f"{share:.1%} {what}, more than {limit:.0%}"
    if periods := noise.get("throttled_periods"):
        return f"the quota of a control group stopped us in {periods} periods"
    return ""


@dataclass(frozen=True, slots=True)
class _Counters:
    """What the kernel has counted so far: seconds of all cores, our own part, switches, throttled periods."""

    whole_s: float
    busy_s: float
    steal_s: float
    ours_s: float
    voluntary: int
    involuntary: int
    throttled: int | None


def own_cpu_s() -> float:
    """Processor seconds of this process and of its children that have ended."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


class NoiseWatch:
    """Shares of the machine that others took since the last lap, or since the watch began.

    A lap takes well under a millisecond where /proc is, so one a second costs nothing.  ``root`` is where /proc and
    /sys are, ``own`` gives our processor seconds so far; running children are added to them.
    """

    def __init__(self, root: Path = ROOT, own: Callable[[], float] = own_cpu_s) -> None:
        self._root, self._own = root, own
        self._begin = self._last = self._count()

    def lap(self) -> dict[str, Any]:
        """What happened since the last lap, in JSON values; None for what the system does not tell."""
        before, self._last = self._last, self._count()
        return self._describe(before, self._last)

    def read(self) -> dict[str, Any]:
        """What happened since the watch began; begins no new lap."""
        return self._describe(self._begin, self._count())

    def ours_s(self) -> float:
        """Processor seconds so far of this process and all its descendants."""
        return self._own() + self._running_children_s()

    def _count(self) -> _Counters:
        whole, busy, steal = self._read_totals()
        ours, used = self.ours_s(), _switches()
        return _Counters(whole, busy, steal, ours, *used, count_throttled(self._root))

    def _read_totals(self) -> tuple[float, float, float]:
        """Seconds of all cores: in all, spent on any process, taken by other machines."""
        words = (read_text(self._root / "proc/stat") or "").partition("\n")[0].split()
        if words[:1] == ["cpu"]:
            times = dict(zip(_FIELDS, (int(word) * _TICK_S for word in words[1:]), strict=False))
        else:
            import psutil

            found = psutil.cpu_times()
            times = {name: getattr(found, name, 0.0) for name in _FIELDS}
        whole, steal = sum(times.values()), times.get("steal", 0.0)
        return whole, whole - steal - times["idle"] - times.get("iowait", 0.0), steal

    def _running_children_s(self) -> float:
        """Processor seconds of our descendants that run, with their ended children's; 0 where no /proc lists them."""
        seconds, waiting = 0.0, self._children_of("self")
        while waiting:
            pid = waiting.pop()
            # The name of a process may hold spaces and parentheses; fields are counted from the last one of those.
            fields = (read_text(self._root / f"proc/{pid}/stat") or "").rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:15])) * _TICK_S
            waiting += self._children_of(pid)
        return seconds

    def _children_of(self, pid: str) -> list[str]:
        lists = (self._root / f"proc/{pid}/task").glob("*/children")
        return [child for path in lists for child in (read_text(path) or "").split()]

    def _describe(self, before: _Counters, after: _Counters) -> dict[str, Any]:
        whole, steal = after.whole_s - before.whole_s, after.steal_s - before.steal_s
        foreign = after.busy_s - before.busy_s - max(after.ours_s - before.ours_s, 0.0)
        throttled = None
        if before.throttled is not None and after.throttled is not None:
            throttled = after.throttled - before.throttled
        return {
            "steal_share": max(steal, 0.0) / whole if whole > 0 else None,
            "foreign_cpu_share": _clamp_share(foreign, whole),
            "throttled_periods": throttled,
            "voluntary_switches": after.voluntary - before.voluntary,
            "involuntary_switches": after.involuntary - before.involuntary,
            "load_average": _load(self._root),
            "frequency_mhz": read_frequencies(self._root),
        }


def _clamp_share(foreign_s: float, whole_s: float) -> float | None:
    """Others' share.  A little below 0 is the rounding of ticks; far below, the two sides do not count the same.

    That happens where a container is shown a /proc/stat of its own: then nothing is known, which is not 0.
    """
    if whole_s <= 0 or foreign_s < -(0.05 * whole_s + 4 * _TICK_S):
        return None
    return max(foreign_s, 0.0) / whole_s


def _switches() -> tuple[int, int]:
    """Context switches so far, voluntary and not, of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_nvcsw for item in used), sum(item.ru_nivcsw for item in used)


def _load(root: Path) -> list[float]:
    words = (read_text(root / "proc/loadavg") or "").split()
    return [float(word) for word in words[:3]] or list(os.getloadavg())


def read_frequencies(root: Path = ROOT) -> dict[str, float] | None:
    """Least, mean and greatest frequency of the first few cores in MHz, now; None where it cannot be read."""
    folders = (root / f"sys/devices/system/cpu/cpu{core}/cpufreq" for core in range(_CORES_ASKED))
    found = [khz / 1e3 for folder in folders if (khz := read_number(folder / "scaling_cur_freq"))]
    return {"min": min(found), "mean": sum(found) / len(found), "max": max(found)} if found else None
