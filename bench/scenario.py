"""Scenario files: everything that a run can be told, typed and strict.

A scenario is TOML.  An unknown key or an unusable value is refused with one line that names it.  Profiles are
scenarios that ship with the suite; ``--config`` overlays one with a file of the user's.
"""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bench.attacks.sections import Collisions, Tamper
from bench.constraints import validate_scenario
from bench.errors import BenchError
from bench.experiments.catalogue import PROFILES
from bench.experiments.policy_plan import Policy
from bench.experiments.privacy_plan import Privacy
from bench.experiments.storage_plan import Storage
from bench.experiments.variants_plan import Variants
from bench.measure.noise import NoiseLimits
from bench.net.sections import Abuse, Agree, Faults, Identity, Load, Net
from bench.ranges import Count, Names, NotNegative, Positive, Roles, Text
from ehrcore.errors import EhrError
from ehrcore.params import FAMILIES


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where records come from: synthetic patients, a source of an extension, or a folder given on the command line."""

    source: str | None = None
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
    """Watts of one busy core, for the estimate where no counter measures it: low, mid, high; and the grid's carbon.

    ``source`` says where the three numbers come from, ``grid_source`` where the factor does; the report prints both.
    ``idle_watts_per_node`` is what a node's machine draws while it does nothing, ``idle_source`` who says so.
    """

    watts_low: Positive
    watts_mid: Positive
    watts_high: Positive
    source: Text
    grams_co2_per_kwh: NotNegative | None = None
    grid_source: str = ""
    idle_watts_per_node: NotNegative | None = None
    idle_source: str = ""

    def __post_init__(self) -> None:
        if not self.watts_low <= self.watts_mid <= self.watts_high:
            raise ValueError("Expected watts_low <= watts_mid <= watts_high")
        if (self.grams_co2_per_kwh is None) is not (not self.grid_source):
            raise ValueError("Expected grams_co2_per_kwh and grid_source together")
        if (self.idle_watts_per_node is None) is not (not self.idle_source):
            raise ValueError("Expected idle_watts_per_node and idle_source together")


class EnergyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``profiles/energy.toml`` holds: the values of all profiles and scenarios that give none."""

    energy: Energy


class Windows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long one operation is repeated, and how often all operations take their turns, there and back."""

    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)]
    repeats: Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class EnergyWindows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Windows of the experiment `energy` where the processor counts its energy, which takes a second, and elsewhere."""

    counted: Windows = Windows(seconds=1.0, repeats=1)
    uncounted: Windows = Windows(seconds=0.08, repeats=12)


class Framework(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End to end with real signatures and a real ledger."""

    topology: Roles = msgspec.field(default_factory=lambda: [3, 3, 5, 2])
    transactions: Count = 120


class Table1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The paper's 18 configurations."""

    transactions: Count = 300
    outstanding: Count = 180
    latency_transactions: Count = 400
    load_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    calibrated_transactions: Count = 6
    shared_cores: Count = 2


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a user waits before an unanswered request is given up, for all experiments; and the stalled network.

    There, ``users`` of the naive measurement share the rate that the open loop offers.
    """

    timeout_s: Positive = 60.0
    topology: Roles = msgspec.field(default_factory=lambda: [2, 2, 4, 3])
    load_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    requests: Count = 2_400
    users: Annotated[int, msgspec.Meta(ge=15, le=10_000)] = 18
    stall_s: Positive = 2.0


class Paired(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the paired engine measures: fresh processes, blocks in each, the least time of an epoch."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 14
    blocks: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 4
    epoch_ms: Annotated[float, msgspec.Meta(ge=2, le=1_000)] = 2.0


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the simulation study of the paired engine measures its table on each synthetic machine."""

    replications: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 500


class Hashes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hash functions, beside SHA-256, by message size and library."""

    suites: Names
    sizes_bytes: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]], msgspec.Meta(min_length=1)]


class Signatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Signatures by curve, in these libraries beside the default one; those that are not installed are left out."""

    libraries: Names = msgspec.field(default_factory=lambda: ["cryptography", "ecdsa", "pycryptodome", "coincurve"])


class Merkle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Merkle trees by number of leaves."""

    leaves: Annotated[list[Annotated[int, msgspec.Meta(ge=2, le=100_000)]], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: [15, 1_000]
    )


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,40}\Z")]
    experiments: Annotated[list[str], msgspec.Meta(min_length=1)]
    #: Seconds after which no more cases are begun; each experiment may use its share of what is left.
    budget_s: Positive | None = None
    energy: Energy
    energy_windows: EnergyWindows = EnergyWindows()
    hashes: Hashes
    seed: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "ehrbench"
    curve: Literal["p256", "secp256k1"] = "p256"
    #: What table1, variants, policy and faults are measured on besides the simulator: ``net`` for everything, ``sim``
    #: for nothing, and without it what ``[net]``, ``[policy]`` and ``[faults]`` name.
    engine: Literal["sim", "net"] | None = None
    workload: Workload = Workload()
    network: NetworkModel = NetworkModel()
    framework: Framework = Framework()
    table1: Table1 = Table1()
    variants: Variants = Variants()
    policy: Policy = Policy()
    latency: Latency = Latency()
    paired: Paired = Paired()
    study: Study = Study()
    noise: NoiseLimits = NoiseLimits()
    signatures: Signatures = Signatures()
    merkle: Merkle = Merkle()
    net: Net = Net()
    load: Load = Load()
    agree: Agree = Agree()
    faults: Faults = Faults()
    tamper: Tamper = Tamper()
    collisions: Collisions = Collisions()
    privacy: Privacy = Privacy()
    storage: Storage = Storage()
    identity: Identity = Identity()
    abuse: Abuse = Abuse()

    @property
    def net_rows(self) -> list[int]:
        """Rows of Table 1 that are measured over a real network."""
        return {"sim": [], "net": list(range(1, 19))}.get(self.engine or "", self.net.table1_rows)

    @property
    def net_variants(self) -> list[str]:
        """Variants, as ``rule/suite``, that are measured over a real network."""
        every = [f"{rule}/{suite}" for rule in FAMILIES for suite in self.variants.suites]
        return {"sim": [], "net": every}.get(self.engine or "", self.net.variants)

    @property
    def net_faults(self) -> list[str]:
        """Cells of `faults` that are measured on real nodes."""
        if self.engine == "net":
            from bench.experiments.faults_cells import declare_real

            return list(declare_real(self))
        return [] if self.engine == "sim" else self.faults.net


def load_scenario(profile: str, overlay: Path | None = None) -> Scenario:
    """The profile ``profile``, overlaid with the TOML file ``overlay``; `BenchError` names what is wrong."""
    if profile not in PROFILES:
        raise BenchError(f"profile: expected one of {', '.join(PROFILES)}, found {profile!r}")
    folder = Path(str(resources.files("bench"))) / "profiles"
    energy = _read(folder / "energy.toml")
    try:
        msgspec.convert(energy, EnergyFile)
    except msgspec.ValidationError as error:
        raise BenchError(f"bench/profiles/energy.toml: {error}") from None
    content = merge(energy, _read(folder / f"{profile}.toml"))
    scenario = convert_scenario(content, f"profile {profile}")
    if overlay is None:
        return scenario
    mine = _read(overlay)
    scenario = convert_scenario(merge(content, mine), str(overlay))
    if scenario.collisions.pairs:
        from bench.attacks.pairs import load_folder

        load_folder(Path(scenario.collisions.pairs))
    changed = mine.get("energy", {})
    if "source" not in changed and any(key.startswith("watts") for key in changed):
        raise BenchError(f"{overlay}: Expected the source of the watts beside them - at `$.energy.source`")
    return scenario


def convert_scenario(content: dict[str, Any], source: str) -> Scenario:
    """A checked scenario from plain values; ``source`` names where they came from in an error."""
    try:
        scenario = msgspec.convert(content, Scenario)
        validate_scenario(scenario)
    except (msgspec.ValidationError, BenchError, EhrError) as error:
        raise BenchError(f"{source}: {error}") from None
    return scenario


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path}: expected a scenario file, found: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # bad TOML, UTF-8 or numbers, or too many brackets
        raise BenchError(f"{path}: expected TOML, found: {error}") from None


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, section by section."""
    merged = dict(base)
    for key, value in over.items():
        held = merged.get(key)
        merged[key] = merge(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return merged
