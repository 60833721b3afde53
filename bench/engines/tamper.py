"""Engine `tamper`: one group of attacks on real ledger files and stores, judged by the product's own checks."""

from pathlib import Path
from typing import Final

from bench.attacks.equal import attack_throughput
from bench.attacks.ledgers import LAYERS, attack_ledger, prepare
from bench.attacks.replicas import attack_replicas, gather
from bench.attacks.stores import attack_store
from bench.attacks.trees import attack_trees
from bench.engines.base import Context
from bench.experiments.attacks import check_attacks
from bench.experiments.base import Case, Row
from bench.workload.sensor import vital_signs
from ehrcore.params import ConsensusRule

#: Patients and readings of each.
_RECORDS: Final = (3, 20)
#: Group -> what attacks it, beside ledgers and the store.
_GROUPS: Final = {"replicas": attack_replicas, "trees": attack_trees, "throughput": attack_throughput}


def run_tamper(context: Context, case: Case) -> list[Row]:
    """The rows of the group that ``settings["group"]`` names, and a check that all of them end as theory says."""
    settings = case.settings
    with context.scratch() as folder:
        rows = _attack(context, settings["group"], settings["suite"], settings.get("layer", 0), folder)
    return check_attacks({"group": settings["group"], **row} for row in rows)


def _attack(context: Context, group: str, suite: str, layer: int, folder: Path) -> list[Row]:
    scenario = context.scenario
    records = vital_signs(*_RECORDS, scenario.workload.seed).records  # whatever else the run has records of
    seed, curve, plan = scenario.seed, scenario.curve, scenario.tamper
    if group == "ledger":
        target = prepare(seed, suite, curve, LAYERS[layer], records, folder)
        return attack_ledger(target, plan.bytes, is_every=plan.every_place)
    if group == "store":
        return attack_store(gather(seed, suite, curve, ConsensusRule.PROOF_OF_STAKE, records, folder), seed)
    return _GROUPS[group](seed, suite, curve, records, folder)
