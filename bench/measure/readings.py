"""What `ehrbench doctor` judges: the environment record, a short watch of the machine, and one fixed piece of work."""

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.measure.doctor import OPTIONAL, Readings
from bench.measure.environment import describe_machine, describe_versions
from bench.measure.kernel import ROOT, read_text
from bench.measure.noise import NoiseWatch
from bench.measure.paired import repeat_call

#: How long the machine is watched while we do nothing, and how long the piece of work is repeated.
WATCH_S: Final = 2.0
WORK_S: Final = 1.0
_EPOCH_NS: Final = 2_000_000
_MESSAGE: Final = bytes(30_720)


def gather_readings(
    folder: Path,
    root: Path = ROOT,
    variables: Mapping[str, str] = os.environ,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Readings:
    """Readings of this machine in about three seconds; results would be kept in ``folder``, which exists."""
    import psutil

    watch = NoiseWatch(root)
    sleep(WATCH_S)
    noise = watch.lap()
    return Readings(
        describe_machine(root, variables),
        describe_versions(variables),
        noise,
        time_epochs(clock),
        find_power(root),
        psutil.virtual_memory().available,
        shutil.disk_usage(folder).free,
        [name for name in OPTIONAL if find_spec(name) is None],
    )


def time_epochs(clock: Callable[[], int] = time.perf_counter_ns) -> list[float]:
    """Nanoseconds of each epoch (2 ms of SHA-256, back to back) of a second; ``clock`` counts nanoseconds."""
    run, loops, epochs = repeat_call(lambda message: hashlib.sha256(message).digest(), _MESSAGE), 1, list[float]()
    while _time(run, loops, clock) < _EPOCH_NS:
        loops *= 2
    end = clock() + round(WORK_S * 1e9)
    while clock() < end:
        epochs.append(_time(run, loops, clock))
    return epochs


def _time(run: Callable[[int], object], loops: int, clock: Callable[[], int]) -> int:
    begin = clock()
    run(loops)
    return clock() - begin


def find_power(root: Path = ROOT) -> str | None:
    """'battery' where one is being emptied, 'mains' where one is not; None if there is none to see."""
    folders = (root / "sys/class/power_supply").glob("*")
    found = [read_text(folder / "status") for folder in folders if read_text(folder / "type") == "Battery"]
    if found or platform.system() == "Linux":
        return "battery" if "Discharging" in found else "mains" if found else None
    import psutil

    battery = psutil.sensors_battery()
    return None if battery is None else "mains" if battery.power_plugged else "battery"
