"""The whole framework, for real but for time: real signatures, real SQLite ledgers, every message through its bytes.

Every check compares something found in files or in a second run with what it must be; a check that fails is a row
that says so.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.engines.base import Context
from bench.engines.framework_rules import count_by_contract, seconds_alone, submit
from bench.engines.load import LoadedSimulation
from bench.engines.simulate import HORIZON_NS, chain_params, link_model
from bench.experiments.base import Case, Row
from ehrcore.block import Genesis
from ehrcore.codec import encode
from ehrcore.drive.sim import SimSetup
from ehrcore.effects import ObservedKind
from ehrcore.errors import LedgerError, ProofError
from ehrcore.ledger import Ledger, MemoryLedger, SqliteLedger
from ehrcore.merkle import verify_inclusion
from ehrcore.network import Network, found_network
from ehrcore.params import Topology
from ehrcore.records import RecordKind
from ehrcore.types import MILLISECOND, Role

SENSOR_GATEWAY = "visitor-1"


def found(context: Context) -> Network:
    """The scenario's network with a hospital (all kinds) and a sensor gateway (sensor readings alone) as visitors."""
    topology = msgspec.structs.replace(Topology(*context.scenario.framework.topology), visitors=2)
    params = chain_params("framework", topology, is_modelled=False, curve=context.scenario.curve)
    # Unequal stakes: the proposer must follow them and the certificate must weigh them.
    stakes = tuple(range(1, topology.administrators + 1))
    return found_network(
        params, "cryptography", f"{context.scenario.seed}|framework", stakes, {SENSOR_GATEWAY: (RecordKind.SENSOR,)}
    )


def run_framework(context: Context, case: Case) -> list[Row]:
    """Records through all five roles, twice; then the ledgers are opened again and everything is checked."""
    network = found(context)
    folder = context.folder / "ledgers"
    folder.mkdir(exist_ok=True)
    keepers = [name for name, role in network.roles.items() if role is Role.CONTRIBUTOR] + ["coordinator-0"]
    genesis = Genesis(network.params, network.certificates)
    ledgers = {name: SqliteLedger.create(folder / f"{name}.db", genesis) for name in keepers}
    begin = time.process_time()
    first = drive(context, case, network, dict(ledgers))
    cpu_s = time.process_time() - begin
    for ledger in ledgers.values():
        ledger.close()
    kept: dict[str, Ledger] = {name: MemoryLedger() for name in keepers}
    second = drive(context, case, found(context), kept)
    checks = check_run(context, first, second) + check_ledgers(first, network, folder, keepers)
    rows: list[Row] = [{"kind": "check", **check} for check in checks]
    rows += [{"kind": "role", **row} for row in describe_roles(first, folder)]
    count = context.scenario.framework.transactions
    rows.append({"kind": "cost", "process_cpu_s_per_tx": cpu_s / count, "transactions": count})
    return rows


def drive(context: Context, case: Case, network: Network, ledgers: dict[str, Ledger]) -> LoadedSimulation:
    """Offer the records at a steady pace and let the network come to rest; the last block closes by time."""
    setup = SimSetup(
        f"{context.scenario.seed}|{case.label}", context.calibration.costs["sha256"], link_model(context), is_wired=True
    )
    loaded = LoadedSimulation(network, setup, context.workload.records, ledgers)
    for number in range(context.scenario.framework.transactions):
        loaded.request(number * MILLISECOND)
    loaded.simulation.run(HORIZON_NS)
    return loaded


def check(name: str, expected: Any, found_: Any) -> Row:
    """One check as a row; it holds if both sides are equal."""
    return {"check": name, "expected": str(expected), "found": str(found_), "holds": expected == found_}


def check_run(context: Context, first: LoadedSimulation, second: LoadedSimulation) -> list[Row]:
    """What the run itself must show."""
    count, collector = context.scenario.framework.transactions, first.collector
    tips = {node.tip for node in first.simulation.nodes if node.role is Role.ADMINISTRATOR}
    same, differing = count_by_contract(context)
    return [
        check("records committed by every contributor", count, collector.finished),
        check("receipts verified by visitors", count, collector.receipts),
        check("transactions refused or marked invalid", 0, collector.refused + collector.invalid),
        check("messages or blocks dropped", 0, sum(collector.dropped.values())),
        check("different last blocks among administrators", 1, len(tips)),
        check("trace digest of a second run", first.simulation.trace_digest(), second.simulation.trace_digest()),
        check("a sensor gateway's bill is refused for", "no-right", submit_without_right(context)),
        check("seconds until a lone transaction is final", 360, seconds_alone(context)),
        check("records final under a contract that is the same everywhere", 1, same),
        check("records final under a contract that differs by coordinator", 0, differing),
    ]


def submit_without_right(context: Context) -> str:
    """Let the sensor gateway submit a record of another kind; the reason that it is given."""
    record = next(record for record in context.workload.records if record.kind is not RecordKind.SENSOR)
    seen = submit(context, found(context), SENSOR_GATEWAY, record)
    return next((observed.detail for _, observed in seen if observed.kind is ObservedKind.REFUSED), "nothing")


def check_ledgers(loaded: LoadedSimulation, network: Network, folder: Path, keepers: list[str]) -> list[Row]:
    """Open every ledger again, replay it from genesis, and prove every transaction and every stored object."""
    tips, rows = set(), []
    for name in keepers:
        answer = "yes"
        try:
            with SqliteLedger.open(folder / f"{name}.db") as ledger:
                state = ledger.verify()
            tips.add((state.tip, state.digest))
        except LedgerError as error:
            answer = str(error)
        rows.append(check(f"ledger of {name} verifies from genesis", "yes", answer))
    rows.append(check("different ledgers", 1, len(tips)))
    proven, matching = prove_all(folder / f"{keepers[0]}.db", network, loaded)
    total = loaded.collector.finished
    rows.append(check("transactions with a valid inclusion proof", total, proven))
    rows.append(check("off-chain objects whose digest is on the chain", total, matching))
    return rows


def prove_all(path: Path, network: Network, loaded: LoadedSimulation) -> tuple[int, int]:
    """How many transactions of a ledger prove their inclusion, and how many objects match their digest.

    A ledger that cannot be read counts as far as it can be.
    """
    crypto = network.crypto("visitor-0")
    proven = matching = 0
    with contextlib.suppress(LedgerError), SqliteLedger.open(path) as ledger:
        for entry in ledger.entries():
            leaves = tuple(map(encode, entry.block.transactions))
            tree = crypto.merkle_tree(leaves)
            for index, endorsed in enumerate(entry.block.transactions):
                proof = tree.prove_inclusion(index)
                with contextlib.suppress(ProofError):
                    verify_inclusion(
                        crypto.suite, entry.block.header.merkle_root, len(leaves), index, leaves[index], proof
                    )
                    proven += 1
                reference = endorsed.transaction.body.payload
                body = loaded.simulation.store.get(getattr(reference, "location", ""))
                matching += body is not None and crypto.hash(body) == getattr(reference, "digest", b"")
    return proven, matching


def describe_roles(loaded: LoadedSimulation, folder: Path) -> list[Row]:
    """Counted operations and kept bytes per node and transaction, by role."""
    count, rows = loaded.collector.finished or 1, []
    for role in (Role.VISITOR, Role.AGENT, Role.COORDINATOR, Role.ADMINISTRATOR, Role.CONTRIBUTOR):
        nodes = [node for node in loaded.simulation.nodes if node.role is role]
        meters = [node.crypto.meter for node in nodes]
        share = len(nodes) * count
        kept = [path.stat().st_size for path in folder.glob(f"{role.value}-*.db")]
        tip_bytes = len(nodes[0].tip[1]) if role is Role.ADMINISTRATOR else 0
        rows.append({
            "role": role.value,
            "nodes": len(nodes),
            "signs_per_tx": sum(meter.signs for meter in meters) / share,
            "verifies_per_tx": sum(meter.verifies for meter in meters) / share,
            "hashes_per_tx": sum(meter.hashes for meter in meters) / share,
            "hashed_bytes_per_tx": sum(meter.hashed_bytes for meter in meters) / share,
            "ledgers": len(kept),
            "kept_bytes": max(kept, default=tip_bytes),
        })  # fmt: skip
    return rows
