"""The method in short, for every form of the report: plain sentences under titles.

`bench/README.md` gives the rules with their reasons.  What depends on the run (limits, watts, links) is taken from its
scenario; a part that the run has no use for is left out.
"""

from collections.abc import Iterator
from typing import Any, Final

from bench.analysis.paired import FAMILY_ERROR, MIN_EFFECT
from bench.report.model import Report

#: A title and its sentences.
Part = tuple[str, tuple[str, ...]]

_REAL: Final = {"load", "agree", "abuse"}
_ATTACKS: Final = {"tamper", "collisions", "identity", "abuse", "privacy"}
_PAIRED: Final = {"hashes", "signatures", "merkle", "harness", "variants", "policy", "energy", "limits"}
_SIMULATED: Final = {"framework", "table1", "variants", "policy", "latency", "agree", "faults", "tamper"}


def describe_method(report: Report) -> tuple[Part, ...]:
    """Parts in reading order, each of at least one sentence."""
    names, scenario = {section.experiment.id for section in report.sections}, report.manifest.scenario
    parts = [
        ("Judgement", _JUDGEMENT),
        ("Comparisons", _COMPARISONS if names & _PAIRED else ()),
        ("Noise", (*_noise(scenario),)),
        ("Simulation", (*_SIMULATION, *_links(scenario)) if names & _SIMULATED else ()),
        ("Real networks", _NETWORKS if names & _REAL or uses_network(report) else ()),
        ("Latency and load", _LATENCY if names & {"latency", "load", "table1", "variants", "policy", "faults"} else ()),
        ("Faults and attacks", _HARM if names & (_ATTACKS | {"faults"}) else ()),
        ("Energy", (*_energy(scenario),)),
        ("Workload", (*_workload(report.manifest.workload),)),
    ]
    return tuple((title, sentences) for title, sentences in parts if sentences)


def uses_network(report: Report) -> bool:
    """Whether a table of the run holds figures of real nodes (those of ``load``, ``agree`` and ``faults_net`` do)."""
    measured = {"table1": "net_tx_per_s", "variants_net": "rule", "policy_net": "who", "faults_net": "cell",
                "load_capacity": "agents", "agree": "aim"}  # fmt: skip
    built = report.frames
    return any(
        name in built and key in built[name] and built[name][key].notna().any() for name, key in measured.items()
    )


_JUDGEMENT: Final = (
    (
        "Each claim of the paper is stated in our words with its place, and judged by a rule that names tables, "
        "columns and limits; a run records a digest of each rule when it begins."
    ),
    (
        "Verdicts are supported, supported under a condition, not supported, contradicted and not testable here; a "
        "claim of which the run lacks a table, a row or a value has none."
    ),
    "A rule asks for whole intervals where there are intervals; in between, a test is open and decides nothing.",
)
_COMPARISONS: Final = (
    (
        "Variants are measured in turns, each block once in some order and once in reverse, in fresh processes (or "
        "repeats) that count once each by the median of their log ratios."
    ),
    (
        f"Intervals are those of the sign test, simultaneous at {100 * (1 - FAMILY_ERROR):.0f} % for their whole "
        "table; faster and slower ask for an interval without 1 and for an effect of at least "
        f"{100 * MIN_EFFECT:.0f} %."
    ),
    "Every table of comparisons has A/A controls, the base against itself, and is flagged if one of them fails.",
)
_SIMULATION: Final = (
    (
        "Simulated figures come from the same roles in virtual time: signatures, hashes, messages and durable writes "
        "are counted and priced at unit costs that were measured on this machine in the same run."
    ),
    "Paper-calibrated figures use a delay per message that was fitted to the paper's own table.",
)
_NETWORKS: Final = (
    (
        "Real networks run every node as a process, with HTTP over loopback, real signatures and durable disks; the "
        "load comes from a process on the same machine."
    ),
    (
        "Afterwards every acknowledged transaction has to be exactly once in the ledger of each contributor, and a "
        "ledger is replayed from genesis; a network that fails this has no figures."
    ),
)
_LATENCY: Final = (
    (
        "Load is offered by a schedule, whatever the system does, and latency counts from the intended instant; "
        "requests without an answer stay in the sample."
    ),
    "Offered, accepted and committed throughput and goodput are told apart.",
)
_HARM: Final = (
    (
        "What has to come of each fault and each attack is said beforehand, from theory; planted defects and the "
        "attacks on weakened variants have to succeed, or the harness is wrong."
    ),
)


def _noise(scenario: dict[str, Any]) -> Iterator[str]:
    limits = scenario.get("noise", {})
    if {"steal_share", "foreign_cpu_share"} <= {*limits}:
        yield (
            f"A sample is void if other machines took more than {limits['steal_share']:.3g} or other processes more "
            f"than {limits['foreign_cpu_share']:.3g} of the processor time meanwhile; the rule never sees the sample, "
            "and nothing else is left out."
        )


def _links(scenario: dict[str, Any]) -> Iterator[str]:
    link = scenario.get("network", {})
    if {"latency_us", "jitter_us", "megabit_per_second"} <= {*link}:
        yield (
            f"Simulated links have a latency of {link['latency_us']:g} µs, a jitter of {link['jitter_us']:g} µs and "
            f"{link['megabit_per_second']:g} Mbit/s."
        )


def _energy(scenario: dict[str, Any]) -> Iterator[str]:
    watts = scenario.get("energy", {})
    if {"watts_low", "watts_mid", "watts_high"} <= {*watts}:
        yield (
            "CPU time is the figure to trust; energy is measured where the processor's counters can be read, and "
            f"elsewhere estimated as CPU time times {watts['watts_low']:g}, {watts['watts_mid']:g} and "
            f"{watts['watts_high']:g} W of one busy core; each row says which."
        )


def _workload(workload: dict[str, Any]) -> Iterator[str]:
    if workload.get("records"):
        yield (
            f"Records are FHIR R4 resources: {workload['records']:,} of {len(workload.get('kinds', []))} kinds, from "
            f"{workload.get('source') or 'a source that is not recorded'}."
        )
