"""Does equal throughput show that data are unaltered (claim C32)?  Two runs of one network, in one of them altered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.attacks.files import check_all, read_chain, run_check
from bench.engines.load import LoadedSimulation
from bench.engines.simulate import chain_params
from bench.experiments.attacks import Tally
from bench.experiments.base import Row
from ehrcore.block import Genesis, RecordRef
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup
from ehrcore.hashing import find_suite
from ehrcore.ledger import SqliteLedger
from ehrcore.network import found_network
from ehrcore.params import Limits, Topology
from ehrcore.records import ClinicalRecord
from ehrcore.types import MILLISECOND, SECOND

_TOPOLOGY: Final = Topology(2, 2, 4, 1)
_TRANSACTIONS: Final = 24
_KEEPER: Final = "contributor-0"


def attack_throughput(seed: str, suite: str, curve: str, records: Sequence[ClinicalRecord], folder: Path) -> list[Row]:
    """The same load twice, every record altered before it is signed; what the number shows, and what digests do."""
    used = list(records[:_TRANSACTIONS])
    altered = [alter(record) for record in used]
    honest = run_load(seed, suite, curve, used, folder / "honest.db")
    other = run_load(seed, suite, curve, altered, folder / "altered.db")
    rows: list[Row] = [
        {"kind": "throughput", "variant": suite, "run": name, "tx_per_s": rate, "transactions": _TRANSACTIONS,
         "altered": count, "tip": tip, "verifies": run_check(check_all, folder / f"{name}.db") is None}
        for name, (rate, tip), count in (("honest", honest, 0), ("altered", other, len(altered)))
    ]  # fmt: skip
    throughput = Tally("alter records before they are signed", suite, "equal throughput", "succeeds")
    digests = Tally("alter records before they are signed", suite, "digests, by who has the true record", "refused")
    ledger = read_chain(folder / "altered.db")
    payloads = (item.transaction.body.payload for entry in ledger.entries for item in entry.block.transactions)
    held = {payload.digest for payload in payloads if isinstance(payload, RecordRef)}
    for record in used:
        throughput.add(None if honest[0] == other[0] else "throughput")
        digests.add(None if find_suite(suite).hash(record.body) in held else "digest")
    return [*rows, throughput.row(), digests.row()]


def alter(record: ClinicalRecord) -> ClinicalRecord:
    """The record with its last digit another: as long, under the same path, and just as well formed."""
    digits = [index for index, byte in enumerate(record.body) if chr(byte).isdigit()]
    spot = digits[-1]
    other = b"%d" % ((record.body[spot] - ord("0") + 5) % 10)
    return msgspec.structs.replace(record, body=record.body[:spot] + other + record.body[spot + 1 :])


def run_load(seed: str, suite: str, curve: str, records: Sequence[ClinicalRecord], path: Path) -> tuple[float, str]:
    """Transactions per second from the first to the last block in the ledger, and its tip; with example costs."""
    limits = Limits(max_transactions=4, max_wait_ns=20 * MILLISECOND)
    params = chain_params("equal", _TOPOLOGY, is_modelled=False, hash_suite=suite, curve=curve, limits=limits)
    network = found_network(params, "cryptography", f"{seed}|equal")
    path.unlink(missing_ok=True)
    with SqliteLedger.create(path, Genesis(network.params, network.certificates), is_synced=False) as ledger:
        loaded = LoadedSimulation(network, SimSetup(f"{seed}|equal", EXAMPLE), records, {_KEEPER: ledger})
        for number in range(len(records)):
            loaded.request(number * MILLISECOND)
        loaded.simulation.run(SECOND)
        state = ledger.verify()
    entries = read_chain(path).entries
    duration_ns = entries[-1].block.header.timestamp - entries[0].block.header.timestamp
    later = sum(entry.block.header.size for entry in entries[1:])
    return later * SECOND / duration_ns, state.tip.hex()
