"""What no type can say of a scenario: lists that hold each value once, and names that have to be known."""

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec import ValidationError

from ehrcore.hashing import SUITES, find_suite
from ehrcore.params import FAMILIES
from ehrcore.signing import CURVES

if TYPE_CHECKING:
    from bench.scenario import Scenario

#: Lists of a scenario that hold each value once, by their path.
_DISTINCT: Final = (
    *(f"variants.{key}" for key in ("suites", "difficulty_bits", "extrapolate_bits")),
    *(f"variants.factors.{key}" for key in ("suites", "curves", "difficulty_bits", "block_transactions", "topologies")),
    *("hashes.suites", "hashes.sizes_bytes", "signatures.libraries", "merkle.leaves"),
    *("net.table1_rows", "net.variants", "faults.administrators", "faults.net"),
    *("tamper.suites", "collisions.suites", "collisions.bits", "privacy.digits", "privacy.samples"),
    *(f"storage.{key}" for key in ("blocks", "fills", "restart_blocks", "block_sizes")),
    *("abuse.attacks", "load.shares", "load.topologies"),
)
#: Lists of hash suites that are needed; of `hashes`, one that is not installed is left out.
_NEEDED: Final = ("variants.suites", "variants.factors.suites", "tamper.suites", "collisions.suites")


def validate_scenario(scenario: "Scenario") -> None:
    """Raise `ValidationError`, `BenchError` or `EhrError`, which name the key, for what no type can say."""
    from bench.micro.signing import list_libraries

    for key in _DISTINCT:
        _require_distinct(key, attrgetter(key)(scenario))
    _require_distinct("agree.topologies", [*scenario.agree.calibration, *scenario.agree.topologies])
    for key, known in (
        ("variants.suites", SUITES), ("variants.factors.suites", SUITES), ("variants.factors.curves", CURVES),
        ("hashes.suites", SUITES), ("tamper.suites", SUITES), ("collisions.suites", SUITES),
        ("signatures.libraries", list_libraries()),
    ):  # fmt: skip
        _require_known(scenario, key, known)
    _validate_net_variants(scenario.net.variants)
    if scenario.workload.source is not None:
        from bench.workload.sources import find_source

        find_source(scenario.workload.source)
    _validate_cells(scenario)
    if sorted(scenario.load.shares) != scenario.load.shares:
        raise ValidationError("Expected ascending shares - at `$.load.shares`")
    needed = [name for key in _NEEDED for name in attrgetter(key)(scenario)]
    for name in (*needed, *(name.partition("/")[2] for name in scenario.net.variants)):
        find_suite(name)


def _require_distinct(key: str, values: Iterable[Any]) -> None:
    found = [tuple(value) if isinstance(value, list) else value for value in values]
    if len({*found}) != len(found):
        raise ValidationError(f"Expected each value once - at `$.{key}`")


def _require_known(scenario: "Scenario", key: str, known: Iterable[str]) -> None:
    choices = tuple(known)
    for name in attrgetter(key)(scenario):
        if name not in choices:
            raise ValidationError(f"Expected one of {', '.join(choices)}, got {name!r} - at `$.{key}`")


def _validate_net_variants(names: Iterable[str]) -> None:
    for name in names:
        rule, _, suite = name.partition("/")
        if rule not in FAMILIES or suite not in SUITES:
            expected = f"one of {', '.join(FAMILIES)} with a suite, such as {next(iter(FAMILIES))}/{next(iter(SUITES))}"
            raise ValidationError(f"Expected {expected}, got {name!r} - at `$.net.variants`")


def _validate_cells(scenario: "Scenario") -> None:
    """The names of what attacks and faults are played: their modules are loaded for it."""
    from bench.experiments.faults_cells import GROUPS, declare_real
    from bench.net.assault import ASSAULTS

    _require_known(scenario, "faults.groups", GROUPS)
    _require_known(scenario, "faults.net", declare_real(scenario) if scenario.faults.net else ())
    _require_known(scenario, "abuse.attacks", ASSAULTS)
