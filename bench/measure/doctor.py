"""Whether a machine is fit to measure on: a verdict per item, what it costs the results and how to mend it.

The rules see readings alone, which `bench.measure.readings` gathers.  Fit: nothing to say.  Limited: results hold, but
tell less or vary more.  Unfit: samples will be void, or figures wrong.  What would matter but cannot be read limits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median, pvariance, quantiles
from typing import Any, Final, Literal

from bench.measure.noise import NoiseLimits

Verdict = Literal["fit", "limited", "unfit"]
ORDER: Final[tuple[Verdict, ...]] = ("fit", "limited", "unfit")
_GIB: Final = 1 << 30
#: Package -> the extra that brings it, and what is left out without it.
OPTIONAL: Final = {
    "blake3": ("blake3", "BLAKE3"),
    "coincurve": ("coincurve", "libsecp256k1"),
    "merkletools": ("peers", "a peer's Merkle tree"),
    "pymerkle": ("peers", "a peer's Merkle tree"),
}
#: Above this distance of two parts, in standard deviations, they are two levels.  Cut at its widest gap, a sample of a
#: normal distribution comes to 3; one in thousands of a skewed one to 5.5.  Source of the measure: Ashman, Bird and
#: Zepf (1994), Astronomical Journal 108, 2348.
_APART: Final = 6.0
_LEAST_STEP: Final = 0.03


@dataclass(frozen=True, slots=True)
class Item:
    """One finding; ``cost`` and ``mend`` are empty where nothing is lost."""

    what: str
    found: str
    verdict: Verdict = "fit"
    cost: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Readings:
    """What the rules judge.

    ``machine`` and ``versions`` are as in a run's manifest, ``noise`` is a lap of the watch, ``epochs_ns`` are times of
    one fixed piece of work, ``power`` is 'mains', 'battery' or None, ``missing`` are packages of `OPTIONAL`.
    """

    machine: Mapping[str, Any]
    versions: Mapping[str, Any]
    noise: Mapping[str, Any]
    epochs_ns: Sequence[float]
    power: str | None
    free_memory_bytes: int
    free_disk_bytes: int
    missing: Sequence[str]


def examine(readings: Readings) -> list[Item]:
    """Every item with its verdict, in the order of `RULES`."""
    return [rule(readings) for rule in RULES]


def judge(items: Sequence[Item]) -> Verdict:
    """The worst verdict of all."""
    return max((item.verdict for item in items), key=ORDER.index, default="fit")


def as_json(items: Sequence[Item]) -> dict[str, Any]:
    """Verdict and items in JSON values."""
    return {"verdict": judge(items), "items": [asdict(item) for item in items]}


def grade(value: float, fit: float, limited: float) -> Verdict:
    """By what ``value`` does not exceed."""
    return "fit" if value <= fit else "limited" if value <= limited else "unfit"


def _weigh(what: str, found: str | None, verdict: Verdict, cost: str, mend: str = "") -> Item:
    """An item whose cost is said only if there is one; what is not to be found is limited."""
    if found is None:
        return Item(what, "not visible here", "limited", cost)
    return Item(what, found) if verdict == "fit" else Item(what, found, verdict, cost, mend)


def _cores(readings: Readings) -> Item:
    cores = readings.machine["usable_cores"]
    cost = "the system and the measurement share the only core"
    return _weigh("cores", str(cores), "fit" if cores > 1 else "limited", cost, "allow the process a second core")


def _virtual(readings: Readings) -> Item:
    machine = readings.machine
    kind = machine["hypervisor"] or machine["product"] or machine["vendor"] or "yes, its kind is not visible"
    found = {True: kind, False: "no", None: None}[machine["is_virtual"]]
    cost = "neighbours disturb unseen, but for steal: trust paired ratios, not absolute times"
    return _weigh("virtual machine", found, "fit" if found == "no" else "limited", cost, "use a machine of your own")


def _steal(readings: Readings) -> Item:
    share, most = readings.noise["steal_share"], NoiseLimits().steal_share
    verdict = grade(share or 0, 0.01, most)
    cost = f"time that other machines take: measurements vary with it, and are void above {most:.0%}"
    return _weigh("steal", _percent(share), verdict, cost, "measure at another hour or place")


def _foreign(readings: Readings) -> Item:
    share, most = readings.noise["foreign_cpu_share"], NoiseLimits().foreign_cpu_share
    verdict = grade(share or 0, 0.05, most)
    cost = f"processor time that others take: measurements vary with it, and are void above {most:.0%}"
    return _weigh("other processes", _percent(share), verdict, cost, "end what else runs (see: top)")


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%} of all cores"


def _load(readings: Readings) -> Item:
    load, cores = readings.noise["load_average"][0], readings.machine["logical_cores"]
    verdict: Verdict = "fit" if load <= cores / 2 else "limited"  # it lags by a minute, so it condemns nothing
    cost = "the machine was busy during the last minute"
    return _weigh("load", f"{load:.2f} on {cores} cores", verdict, cost, "wait until it has calmed down")


def _quota(readings: Readings) -> Item:
    quota, stopped = readings.machine["cpu_quota"], readings.noise["throttled_periods"]
    mend = "lift the control group's CPU limit (docker: --cpus, Kubernetes: limits.cpu)"
    if stopped:
        return Item("quota", f"{quota}, stopped us {stopped} times", "unfit", "stopped periods void samples", mend)
    if quota is None:
        return Item("quota", "none visible")
    cost = "longer work is stopped until the next period"
    return _weigh("quota", quota, "fit" if quota == "none" else "limited", cost, mend)


def _governor(readings: Readings) -> Item:
    governor = readings.machine["governor"]
    cost = "the frequency may follow the load: absolute times vary"
    mend = "sudo cpupower frequency-set -g performance"
    return _weigh("frequency governor", governor, "fit" if governor == "performance" else "limited", cost, mend)


def _turbo(readings: Readings) -> Item:
    turbo = readings.machine["turbo"]
    cost = "the frequency may depend on heat and on other cores: absolute times vary"
    mend = "as root, write 1 to /sys/devices/system/cpu/intel_pstate/no_turbo or 0 to .../cpu/cpufreq/boost"
    return _weigh("turbo", turbo, "limited" if turbo == "on" else "fit", cost, mend)


def _smt(readings: Readings) -> Item:
    # A guest is not told how its cores lie on real ones.
    is_hidden = readings.machine["is_virtual"] and not readings.machine["is_smt_active"]
    found = None if is_hidden else {True: "on", False: "off", None: None}[readings.machine["is_smt_active"]]
    cost = "two logical cores may share a real one: what runs beside slows us down unseen"
    mend = "as root, write off to /sys/devices/system/cpu/smt/control"
    return _weigh("SMT", found, "limited" if found == "on" else "fit", cost, mend)


def _clock(readings: Readings) -> Item:
    source, step_ns = readings.machine["clock_source"], readings.machine["clock_step_ns"]
    verdict = grade(step_ns, 2_000, 20_000)  # 0.1 % and 1 % of an epoch of 2 ms
    cost = "the clock is coarse or slow to read: short operations are blurred"
    mend = "choose from /sys/devices/system/clocksource/clocksource0/available_clocksource"
    return _weigh("clock", f"{source or 'unnamed'}, steps of {step_ns:,} ns", verdict, cost, mend)


def _sha(readings: Readings) -> Item:
    state = readings.machine["sha_ni"]
    costs = {
        "masked": ("hashlib and cryptography do without: hashing is slower than it need be", "unset OPENSSL_ia32cap"),
        "absent": ("SHA-256 is slower than MD5 here; no comparison with the instructions", "use a newer processor"),
    }
    cost, mend = costs.get(state, ("which instructions hashing uses is not known", ""))
    return _weigh("SHA instructions", state, "fit" if state == "on" else "limited", cost, mend)


def _energy(readings: Readings) -> Item:
    counters = readings.machine["energy_counters"]
    is_there = not counters.startswith("none")
    is_refused = "root" in counters
    mend = "sudo chmod a+r /sys/class/powercap/*/energy_uj" if is_refused else "use a machine with RAPL, not virtual"
    cost = "energy is estimated: processor time times a range of watts"
    return _weigh("energy counters", counters, "fit" if is_there else "limited", cost, mend)


def _power(readings: Readings) -> Item:
    found = readings.power or "no battery"
    cost = "the processor saves power: it is slower, and the slower the emptier"
    return _weigh("power", found, "limited" if readings.power == "battery" else "fit", cost, "plug it in")


def _memory(readings: Readings) -> Item:
    free = readings.free_memory_bytes / _GIB
    cost = "a run takes about 1 GiB; a machine that swaps measures its disk"
    return _weigh("free memory", f"{free:.1f} GiB", grade(-free, -2, -0.5), cost, "end what else runs")


def _disk(readings: Readings) -> Item:
    free = readings.free_disk_bytes / _GIB
    cost = "a run takes up to 0.1 GiB; a full disk slows every commit"
    return _weigh("free disk", f"{free:.1f} GiB", grade(-free, -2, -0.2), cost, "make room")


def _python(readings: Readings) -> Item:
    build = readings.versions["python_build"]
    is_optimised = "--enable-optimizations" in build["options"]
    flaws = {
        "a debug build": build["is_debug"],
        "built with -O0": "-O0" in build["compiler_options"][-1:],
        "without profile-guided optimisation": not is_optimised,
    }
    found = next((flaw for flaw, is_there in flaws.items() if is_there), "optimised")
    verdict: Verdict = "fit" if found == "optimised" else "limited" if found.startswith("without") else "unfit"
    cost = "pure Python is slower than users have it: ratios to C libraries are larger"
    mend = "use a Python of your distribution, of python.org or of uv"
    return _weigh("Python", f"{readings.versions['python']}, {found}", verdict, cost, mend)


def _byte_code(readings: Readings) -> Item:
    is_off = any(text.startswith("PYTHONDONTWRITEBYTECODE=") for text in readings.versions["variables"])
    cost = "every process compiles what it imports: start-up takes 2 to 4 times as long"
    found = "not kept" if is_off else "kept"
    return _weigh("byte code", found, "limited" if is_off else "fit", cost, "unset PYTHONDONTWRITEBYTECODE")


def _packages(readings: Readings) -> Item:
    missing = sorted(readings.missing)
    left_out = sorted({OPTIONAL[name][1] for name in missing})
    extras = ",".join(sorted({OPTIONAL[name][0] for name in missing}))
    found = f"without {', '.join(missing)}" if missing else "all there"
    cost = f"left out: {', '.join(left_out)}"
    mend = f"pip install 'ehrbench[{extras}]'"
    return _weigh("optional packages", found, "limited" if missing else "fit", cost, mend)


def _integers(readings: Readings) -> Item:
    return Item("integers of ecdsa", f"{readings.versions['ecdsa_integers']} (gmpy2 halves its times)")


def _steadiness(readings: Readings) -> Item:
    epochs = readings.epochs_ns
    low, middle, high = quantiles(epochs, n=4)
    spread, has_levels = (high - low) / middle, is_bimodal(epochs)
    found = f"IQR {spread:.1%} of the median, from {min(epochs) / middle:.2f} to {max(epochs) / middle:.2f} of it"
    verdict = grade(spread, 0.02 if not has_levels else -1, 0.10)
    cost = "the same work takes different times: more repeats are needed, small differences stay unresolved"
    if has_levels:
        found, cost = f"{found}; two levels", f"{cost}; two levels: the frequency or the core has changed"
    return _weigh("steadiness", found, verdict, cost, "quieten the machine; fix its frequency")


def is_bimodal(values: Sequence[float]) -> bool:
    """Whether the values (a hundred or more) lie on two levels, each with a tenth of them or more."""
    ordered = sorted(values)
    margin = max(len(ordered) // 10, 2)
    cut = max(range(margin, len(ordered) - margin + 1), key=lambda place: ordered[place] - ordered[place - 1])
    below, above = ordered[:cut], ordered[cut:]
    step = fmean(above) - fmean(below)
    width = ((pvariance(below) + pvariance(above)) / 2) ** 0.5
    return step > _LEAST_STEP * median(ordered) and step > _APART * width


#: An item is a rule and its place in this list.
RULES: Final[tuple[Callable[[Readings], Item], ...]] = (
    *(_steadiness, _foreign, _steal, _load, _quota, _cores, _virtual, _governor, _turbo, _smt, _clock, _power),
    *(_sha, _energy, _python, _byte_code, _packages, _integers, _memory, _disk),
)
