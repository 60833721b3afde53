"""Fewer agents or coordinators of as many have to say yes: what that saves, what it stands, and who looks at all.

A repeat asks all of them first and then fewer, with the same arrivals, jitter and unit costs, so that each is compared
with asking all, pair by pair.
"""

from typing import TYPE_CHECKING, Final

from bench.experiments.base import Case, Comparison, Experiment, Figure, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.policy_figures import answer, draw_policy
from bench.experiments.policy_plan import DEFENCES
from bench.experiments.policy_tables import (
    COLUMNS,
    DEFENCE_COLUMNS,
    FAILURE_COLUMNS,
    NET_COLUMNS,
    RATIO_COLUMNS,
    build_defences,
    build_failures,
    build_main,
    build_networks,
    build_ratios,
)

if TYPE_CHECKING:
    from bench.scenario import Scenario

KINDS: Final = ("agents", "coordinators")


def declare_cases(scenario: "Scenario") -> list[Case]:
    """Each repeat of both kinds before the next; what fails, who looks and real networks once, at the end."""
    plan = scenario.policy
    repeats = [(who, repeat) for repeat in range(plan.repeats) for who in KINDS]
    cases = [Case(f"{who}-{repeat}", "policy", {"who": who, "repeat": repeat}) for who, repeat in repeats]
    cases += [Case(f"failures-{who}", "policy-failures", {"who": who}) for who in KINDS]
    cases += [Case(f"defence-{number}", "policy-rejection", {"defence": defence})
              for number, defence in enumerate(DEFENCES)]  # fmt: skip
    has_nets = {"sim": False, "net": True}.get(scenario.engine or "", plan.net)
    nets = [(who, asked) for who in KINDS for asked in plan.net_levels(who)] if has_nets else []
    return cases + [Case(f"net-{who}-{asked}", "policy-net", {"who": who, "asked": asked}) for who, asked in nets]


_MODE: Final = "Simulated with this machine's measured unit costs."
EXPERIMENT: Final = Experiment(
    "policy",
    QUESTIONS["policy"],
    ("C25",),
    declare_cases,
    (
        Table(
            "policy",
            "Fewer agents, or coordinators, of as many asked, a majority of the other kind always; medians over "
            "repeats. Every node answers whatever the policy is; who has enough drops what comes later unverified, and "
            "blocks carry no more than that. Saturated: in a closed loop of as many requests as the scenario "
            "says; where they are few, waiting limits it as well as work. Latency to a quorum, open loop, at one load "
            "for all rows of a kind; CPU and messages of full blocks until all is at rest. "
            "What is saved: work (CPU), waiting (latency) and messages that are resolved as less. " + _MODE,
            COLUMNS,
            build_main,
            ("who", "asked", "of", "is_control", "saves", "shared_tx_per_s", "latency_p50_ms", "cpu_ms_per_tx",
             "messages_per_tx"),
            keys=("who", "asked", "is_control"),
            ordered=("shared_tx_per_s", "tx_per_s"),
        ),
        Table(
            "policy_ratios",
            "Fewer asked over all asked, paired by repeat: the same arrivals, jitter and unit costs. Medians over "
            "repeats with exact sign-test intervals, 95 % for all of the table at once; below 2 % nothing is called a "
            "difference. A speed-up is the ratio of throughputs, or that of latencies turned over. The A/A control "
            "asks all and is priced with the second measurement of each unit cost. " + _MODE,
            RATIO_COLUMNS,
            build_ratios,
            ("who", "asked", "of", "quantity", "is_control", "ratio", "ratio_low", "ratio_high", "verdict"),
            comparisons=(Comparison(("who", "asked", "quantity")),),
        ),
        Table(
            "policy_failures",
            "What each number asked stands: with as many nodes down as it can spare, and one more; and what a slow "
            "node of that kind does to throughput. Here nodes wait for their disks before they speak, as real ones "
            "do, so that throughput has another limit than in the other tables. Once. " + _MODE,
            FAILURE_COLUMNS,
            build_failures,
            ("who", "asked", "of", "failure", "committed", "expected", "tx_per_s"),
            keys=("who", "asked", "failure"),
            exact=("committed",),
        ),
        Table(
            "policy_defences",
            "What a transaction costs all nodes by who is the first to look at it, with everyone before looking away; "
            "good ones alone, and as many bad ones between them, of a member that may not write their kind. Good ones "
            "of the last two rows differ by the second validation of blocks. Once. " + _MODE,
            DEFENCE_COLUMNS,
            build_defences,
            ("defence", "valid", "invalid", "good_cpu_ms", "bad_cpu_ms", "bad_agent_ms", "bad_coordinator_ms",
             "bad_administrator_ms", "bad_messages_per_tx"),
            keys=("defence",),
            exact=("valid", "invalid"),
        ),
        Table(
            "policy_net",
            "Real networks, where asked for: a process per node and the load generator on this machine's cores, "
            "HTTP, real signatures and disks, closed loop. One network each, so without intervals.",
            NET_COLUMNS,
            build_networks,
            ("who", "asked", "of", "committed_per_s", "cpu_ms_per_tx", "bottleneck"),
        ),
    ),
    (
        Figure(
            "policy",
            "Above: speed-up of asking fewer over asking all, with 95 % intervals (shared cores; dashed: a machine per "
            "node), and latency at one offered load. Below: CPU time by role (A: agents asked, C: coordinators), and "
            "throughput where one node of that kind is slow. " + _MODE,
            draw_policy,
        ),
    ),
    answer=answer,
    needs_records=True,
    weight=1.2,
)  # fmt: skip
