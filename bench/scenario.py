"""Scenario files: everything that a run can be told, typed and strict.

A scenario is TOML.  An unknown key or an unusable value is refused with one line that names it.  Profiles are
scenarios that ship with the suite; ``--config`` overlays one with a file of the user's.
"""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bench.errors import BenchError
from bench.experiments.catalogue import PROFILES
from ehrcore.errors import EhrError
from ehrcore.hashing import SUITES, find_suite

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
# Bounded above, too: TOML has an infinity.
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Names = Annotated[list[str], msgspec.Meta(min_length=1)]
Roles = Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=100)]], msgspec.Meta(min_length=4, max_length=4)]


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where records come from: synthetic patients, or a folder given on the command line."""

    population: Count = 3
    seed: int = 20220719
    reference_date: Annotated[str, msgspec.Meta(pattern=r"^\d{8}\Z")] = "20220719"
    sensor_patients: Count = 3
    sensor_readings: Count = 20


class NetworkModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Simulated links: a switched local network, as the paper's desktops had."""

    latency_us: NotNegative = 100.0
    jitter_us: NotNegative = 20.0
    loss: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    megabit_per_second: Positive = 1000.0


class Energy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Watts of one busy core, for the estimate where no counter measures it: low, mid, high.

    ``source`` says where the three numbers come from; the report prints it with the scenario.
    """

    watts_low: Positive
    watts_mid: Positive
    watts_high: Positive
    source: str


class Framework(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End to end with real signatures and a real ledger."""

    topology: Roles = msgspec.field(default_factory=lambda: [3, 3, 5, 2])
    transactions: Count = 120


class Table1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The paper's 18 configurations."""

    transactions: Count = 300
    outstanding: Count = 180
    latency_transactions: Count = 150
    load_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    calibrated_transactions: Count = 6
    shared_cores: Count = 2


class Variants(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Consensus rules and hash suites against each other."""

    topology: Roles = msgspec.field(default_factory=lambda: [3, 3, 5, 2])
    suites: Names = msgspec.field(default_factory=lambda: ["sha256", "sha1", "md5"])
    difficulty_bits: list[Annotated[int, msgspec.Meta(ge=0, le=40)]] = msgspec.field(
        default_factory=lambda: [10, 12, 14, 16, 20]
    )
    confirmations: Annotated[int, msgspec.Meta(ge=0, le=100)] = 6
    transactions: Count = 300
    outstanding: Count = 180
    offered_per_second: Positive = 20.0
    repeats: Count = 3


class Hashes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hash functions by message size and library."""

    suites: Names
    sizes_bytes: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=1 << 24)]], msgspec.Meta(min_length=1)]
    seconds_per_case: Positive = 0.2


class Signatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Signatures by curve and library."""

    seconds_per_case: Positive = 0.2


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,40}\Z")]
    experiments: Annotated[list[str], msgspec.Meta(min_length=1)]
    energy: Energy
    hashes: Hashes
    seed: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "ehrbench"
    curve: Literal["p256", "secp256k1"] = "p256"
    workload: Workload = Workload()
    network: NetworkModel = NetworkModel()
    framework: Framework = Framework()
    table1: Table1 = Table1()
    variants: Variants = Variants()
    signatures: Signatures = Signatures()


def load_scenario(profile: str, overlay: Path | None = None) -> Scenario:
    """The profile ``profile``, overlaid with the TOML file ``overlay``; `BenchError` names what is wrong."""
    if profile not in PROFILES:
        raise BenchError(f"profile: expected one of {', '.join(PROFILES)}, found {profile!r}")
    text = resources.files("bench").joinpath(f"profiles/{profile}.toml").read_text()
    content = tomllib.loads(text)
    if overlay is not None:
        content = merge(content, _read(overlay))
    source = str(overlay) if overlay is not None else f"profile {profile}"
    return convert_scenario(content, source)


def convert_scenario(content: dict[str, Any], source: str) -> Scenario:
    """A checked scenario from plain values; ``source`` names where they came from in an error."""
    try:
        scenario = msgspec.convert(content, Scenario)
        _validate(scenario)
    except (msgspec.ValidationError, EhrError) as error:
        raise BenchError(f"{source}: {error}") from None
    return scenario


def _validate(scenario: Scenario) -> None:
    """Raise `msgspec.ValidationError` or `EhrError` for what no type can say."""
    energy, variants, hashes = scenario.energy, scenario.variants, scenario.hashes
    if not energy.watts_low <= energy.watts_mid <= energy.watts_high:
        raise msgspec.ValidationError("Expected watts_low <= watts_mid <= watts_high - at `$.energy`")
    for key, values in (
        ("variants.suites", variants.suites),
        ("variants.difficulty_bits", variants.difficulty_bits),
        ("hashes.suites", hashes.suites),
        ("hashes.sizes_bytes", hashes.sizes_bytes),
    ):
        if len({*values}) != len(values):
            raise msgspec.ValidationError(f"Expected each value once - at `$.{key}`")
    for key, names in (("variants.suites", variants.suites), ("hashes.suites", hashes.suites)):
        for name in names:
            if name not in SUITES:
                raise msgspec.ValidationError(f"Expected one of {', '.join(SUITES)}, got {name!r} - at `$.{key}`")
    for name in variants.suites:
        find_suite(name)  # an optional one that is not installed is left out of hashes, but variants need it


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path}: expected a scenario file, found: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: expected TOML, found: {error}") from None


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, section by section."""
    merged = dict(base)
    for key, value in over.items():
        held = merged.get(key)
        merged[key] = merge(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return merged
