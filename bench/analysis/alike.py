"""In what two runs differ before any result is looked at: machine, versions, source, seed, records, scenario.

What was measured on machines or with versions that differ is not comparable in absolute terms, only by ratios that each
run has made within itself; and where the question itself differs (another scenario, other records) not even those.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.experiments.base import Experiment

#: Sections of a manifest that are compared; of the records their digest says all.
SECTIONS: Final = ("machine", "versions", "git", "extensions", "seed", "workload", "scenario")
#: What is measured anew each time, what says how much was asked for and not what, and what is there twice.
_IGNORED: Final = {
    "machine.clock_step_ns",
    *(f"scenario.{key}" for key in ("name", "experiments", "budget_s", "seed")),
}
#: Where a difference may well explain that a ratio differs.
_EXPLAINING: Final = re.compile(r"machine\.(architecture|cpu|cpu_flags|sha_ni)|versions\.(python|openssl_\w+)")
#: What the experiments that simulate with the run's records depend on, and others, besides their own sections.
_SIMULATED: Final = ("workload.digest", "scenario.network", "scenario.curve", "scenario.energy")
_REAL: Final = ("workload.digest", "scenario.net", "scenario.curve", "scenario.energy")
_BESIDES: Final = {
    "load": _REAL,
    "agree": _REAL,
    "tamper": ("scenario.curve", "scenario.workload.seed"),
    "collisions": ("scenario.curve",),
    "privacy": ("workload.digest",),
    "storage": ("workload.digest", "scenario.curve"),
    "latency": (
        "scenario.network",
        *(f"scenario.workload.{key}" for key in ("seed", "sensor_patients", "sensor_readings")),
    ),
}
_LONG: Final = 40


@dataclass(frozen=True, slots=True)
class Difference:
    """One value in which two runs differ, by its path in the manifest; None where one of them has none."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """On one line; of lists only what is not in both."""
        if isinstance(self.before, list) and isinstance(self.after, list):
            gone = [f"-{_shorten(item)}" for item in self.before if item not in self.after]
            come = [f"+{_shorten(item)}" for item in self.after if item not in self.before]
            return f"{self.key}: {' '.join([*gone, *come]) or 'another order'}"
        return f"{self.key}: {_shorten(self.before)} -> {_shorten(self.after)}"


def find_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between the contents of two manifests, packages last; empty for runs that are alike in all."""
    left, right = dict(_flatten(before)), dict(_flatten(after))
    keys = [key for key in dict.fromkeys([*left, *right]) if left.get(key) != right.get(key)]
    keys.sort(key=lambda key: (key.startswith("versions.packages."), SECTIONS.index(key.partition(".")[0])))
    return [Difference(key, left.get(key), right.get(key)) for key in keys]


def _flatten(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    sections = {name: content[name] for name in SECTIONS if content.get(name) is not None}
    if "workload" in sections:
        sections["workload"] = {"digest": sections["workload"].get("digest")}
    return ((key, value) for key, value in _walk("", sections) if not _is_below(key, _IGNORED))


def _walk(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _walk(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def are_comparable(differences: Iterable[Difference]) -> bool:
    """Whether absolute values may be compared: machine and versions are the same, whatever else differs."""
    return not any(_is_below(item.key, ("machine", "versions")) for item in differences)


def find_conflicts(differences: Iterable[Difference], experiment: Experiment) -> list[Difference]:
    """The differences because of which two results of ``experiment`` answer different questions.

    It depends on the sections of the scenario whose names begin with its own, and if it needs records on those, too,
    and on network (``net`` if it is a real one), curve and energy.  How often something is measured (``[paired]``) only
    makes intervals wider.
    """
    others = _BESIDES.get(experiment.id, _SIMULATED if experiment.needs_records else ())
    own = f"scenario.{experiment.id}"
    return [item for item in differences if item.key.startswith(own) or _is_below(item.key, others)]


def find_explanations(differences: Iterable[Difference]) -> list[Difference]:
    """The differences of processor, Python and OpenSSL: those that change what is faster than what."""
    return [item for item in differences if _EXPLAINING.fullmatch(item.key)]


def describe_differences(differences: Sequence[Difference], limit: int) -> list[str]:
    """A line for each of the first ``limit``, and one that counts the rest."""
    rest = len(differences) - limit
    return [str(item) for item in differences[:limit]] + ([f"and {rest} more"] if rest > 0 else [])


def _is_below(key: str, places: Iterable[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)


def _shorten(value: Any) -> str:
    """A value as text; of a digest or of a long text its beginning."""
    text = "nothing" if value is None else str(value)
    is_digest = len(text) >= _LONG and all(letter in "0123456789abcdef" for letter in text)
    return f"{text[:12]}…" if is_digest else text if len(text) <= _LONG else f"{text[:_LONG]}…"
