"""Energy of a stretch of work: measured by the processor's own counters, or estimated from processor time.

Linux shows the counters (RAPL) below /sys/class/powercap.  A package is the whole chip, with its cores, caches and
memory controller, whoever uses them: so what a package took is an upper bound for the work, and what it took above
the idle windows around the work is the figure.  A counter moves about once a millisecond, hence windows of a second.

Where nothing counts, or what was counted cannot be believed, the answer is processor time times a range of watts per
busy core, marked as estimated and with the reason.  It is never a silent zero.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from bench.measure.kernel import read_number, read_text

if TYPE_CHECKING:
    from bench.scenario import Energy

POWERCAP: Final = Path("/sys/class/powercap")
#: A shorter window is not measured: at both ends a counter may lag by an update, and one second makes that 0.2 %.
LEAST_WINDOW_S: Final = 1.0
#: How often a counter moves.  Source: Intel SDM volume 3B, "Package RAPL Domain".
_UPDATE_S: Final = 1e-3
#: More than any package takes: a counter that says so was reset or has gone round more than once.
_MOST_WATTS: Final = 1_000
#: Not its parts (core, uncore, dram), which are in it, nor the platform (psys), which holds more than it.
_PACKAGE: Final = re.compile(r"package-\d+(-die-\d+)?")

Status = Literal["measured", "estimated"]


class NoCountersError(Exception):
    """Why energy cannot be measured here; it ends as the reason beside an estimate."""


@dataclass(frozen=True, slots=True)
class Package:
    """One processor package; its counter begins again at 0 after ``range_uj`` microjoules."""

    name: str
    folder: Path
    range_uj: int

    def read_uj(self) -> int:
        """Microjoules counted so far; `NoCountersError` says why not."""
        try:
            return int((self.folder / "energy_uj").read_text(encoding="ascii"))
        except PermissionError:
            raise NoCountersError(f"{self.name}: its energy counter may be read by root alone") from None
        except (OSError, ValueError):
            raise NoCountersError(f"{self.name}: its energy counter cannot be read") from None


def find_packages(root: Path = POWERCAP) -> tuple[Package, ...]:
    """Every package once, though both its registers (MSR) and its memory window (MMIO) may show it.

    Raises `NoCountersError` if there is none, or if one cannot be read: a sum without it would look like a measurement.
    """
    found: dict[str, Package] = {}
    refused: dict[str, NoCountersError] = {}
    for folder in sorted(root.glob("*:*"), key=lambda path: ("mmio" in path.name, path.name)):
        name = read_text(folder / "name") or ""
        if not _PACKAGE.fullmatch(name) or name in found:
            continue
        try:
            found[name] = _open(name, folder)
        except NoCountersError as error:
            refused.setdefault(name, error)
    for name in refused.keys() - found.keys():
        raise refused[name]
    if not found:
        raise NoCountersError("the kernel shows no energy counter of a processor package")
    return tuple(found.values())


def _open(name: str, folder: Path) -> Package:
    range_uj = read_number(folder / "max_energy_range_uj")
    if not range_uj:
        raise NoCountersError(f"{name}: the range of its energy counter cannot be read")
    package = Package(name, folder, range_uj)
    package.read_uj()
    return package


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time: its length, our processor time in it, and what all packages took.

    ``joules`` is None where that was not measured, for ``reason``.
    """

    wall_s: float
    cpu_s: float
    joules: float | None
    reason: str = ""

    @property
    def watts(self) -> float | None:
        """Mean power of all packages."""
        return None if self.joules is None else self.joules / self.wall_s


class Meter:
    """Measures windows.  ``reason`` says why energy cannot be measured here, '' if it can.

    ``cpu_clock`` gives our processor seconds so far: by default those of this process without its children.
    """

    def __init__(
        self,
        root: Path = POWERCAP,
        *,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock, self._cpu_clock, self._sleep = clock, cpu_clock, sleep
        self.reason = ""
        self._packages: tuple[Package, ...] = ()
        try:
            self._packages = find_packages(root)
        except NoCountersError as error:
            self.reason = str(error)

    def rest(self, seconds: float) -> Window:
        """An idle window: what the machine takes while we do nothing; of no length where nothing counts it."""
        return Window(0.0, 0.0, None, self.reason) if self.reason else self.measure(lambda: self._sleep(seconds))

    def measure(self, work: Callable[[], object]) -> Window:
        """The window in which ``work`` was done."""
        before, refused_before = self._read()
        begin, cpu_begin = self._clock(), self._cpu_clock()
        work()
        cpu_s, wall_s = self._cpu_clock() - cpu_begin, self._clock() - begin
        after, refused_after = self._read()
        reason = self.reason or refused_before or refused_after
        try:
            return Window(wall_s, cpu_s, None if reason else self._subtract(before, after, wall_s), reason)
        except NoCountersError as error:
            return Window(wall_s, cpu_s, None, str(error))

    def _read(self) -> tuple[list[int], str]:
        try:
            return [package.read_uj() for package in self._packages], ""
        except NoCountersError as error:
            return [], str(error)

    def _subtract(self, before: list[int], after: list[int], wall_s: float) -> float:
        """Joules of all packages between two readings; `NoCountersError` where they cannot be believed."""
        if wall_s < LEAST_WINDOW_S:
            raise NoCountersError(f"a window of {wall_s:.2f} s is too short to measure, which takes {LEAST_WINDOW_S} s")
        joules = 0.0
        for package, first, last in zip(self._packages, before, after, strict=True):
            counted = (last - first + (package.range_uj if last < first else 0)) / 1e6
            if not counted:
                raise NoCountersError(f"{package.name}: its energy counter stands still")
            if package.range_uj / 1e6 < _MOST_WATTS * wall_s:
                raise NoCountersError(f"{package.name}: its energy counter may go round within {wall_s:.0f} s")
            if counted > _MOST_WATTS * wall_s:
                raise NoCountersError(f"{package.name}: its energy counter jumped by {counted:.0f} J")
            joules += counted
        return joules


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """What work took: processor time first, joules between bounds, and whether these are measured; if not, why."""

    cpu_s: float
    joules_low: float
    joules_mid: float
    joules_high: float
    status: Status
    reason: str = ""


def attribute(window: Window, idle: Sequence[Window], watts: "Energy") -> EnergyUse:
    """The work's part of what a window took; ``idle`` are the idle windows nearest to it.

    Measured: the middle is what the packages took above the mean idle power.  Low is that above the highest idle power
    of ``idle``, less one update of the counter at each end, at least 0.  High charges the work with everything, idle
    power too, and adds these updates.  A middle of 0 says in its reason why.  Without counters it is `estimate`.
    """
    powers = [rest.watts for rest in idle if rest.watts is not None]
    if window.joules is None or not powers:
        why = next((rest.reason for rest in idle if rest.reason), "there is none")
        return estimate(window.cpu_s, watts, window.reason or f"no idle window was measured: {why}")
    net = window.joules - sum(powers) / len(powers) * window.wall_s
    edges = 2 * _UPDATE_S * window.joules / window.wall_s
    low = max(window.joules - max(powers) * window.wall_s - edges, 0.0)
    # To leave out the windows that came out low would make the others' median too high.
    reason = "" if net > 0 else "the packages took no more than in the idle windows"
    return EnergyUse(window.cpu_s, low, max(net, 0.0), window.joules + edges, "measured", reason)


def estimate(cpu_s: float, watts: "Energy", reason: str) -> EnergyUse:
    """Processor seconds times the watts of one busy core; ``reason`` says why nothing better is there."""
    low, mid, high = (cpu_s * each for each in (watts.watts_low, watts.watts_mid, watts.watts_high))
    return EnergyUse(cpu_s, low, mid, high, "estimated", reason)


def compute_co2_g(joules: float, watts: "Energy") -> float | None:
    """Grams of carbon dioxide (equivalent) by the profile's factor for the grid; None if it states none."""
    return None if watts.grams_co2_per_kwh is None else joules / 3.6e6 * watts.grams_co2_per_kwh
