"""After a run over a real network: whether its ledgers hold what the load generator was promised, and nothing else."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.net.step import Finished
from ehrcore.codec import encode
from ehrcore.identity import Reason
from ehrcore.ledger import SqliteLedger, open_crypto


def audit_ledgers(ledgers: Sequence[Path], finished: Finished) -> int:
    """How many transactions the ledgers of all contributors hold.  `BenchError` names the first thing that is wrong.

    That is an acknowledged transaction that is not exactly once in every ledger, one in a ledger that nobody submitted
    or that was not accepted, or ledgers that differ.  The first ledger is replayed from genesis, trusting nothing in it
    (`LedgerError`).
    """
    known = {*finished.acknowledged, *finished.submitted}
    first: list[bytes] = []
    for path in ledgers:
        with SqliteLedger.open(path) as ledger:
            headers, found = _read(ledger)
            _check(path, found, finished.acknowledged, known)
            first = first or headers
            if headers != first:
                raise BenchError(f"{path}: expected the blocks of {ledgers[0]}, found others")
            if path == ledgers[0]:
                ledger.verify()
    return found.total()


def _read(ledger: SqliteLedger) -> tuple[list[bytes], Counter[str]]:
    """The headers of a ledger, and how often each id (hex) is in it; `BenchError` if a transaction is not accepted."""
    crypto, headers, found = open_crypto(ledger.genesis.params), [], Counter[str]()
    for entry in ledger.entries():
        headers.append(encode(entry.block.header))
        for endorsed, reason in zip(entry.block.transactions, entry.reasons, strict=True):
            tx_id = crypto.hash_struct(endorsed.transaction.body).hex()
            found[tx_id] += 1
            if reason is not Reason.ACCEPTED:
                raise BenchError(f"{ledger.path}: transaction {tx_id}: expected it accepted, found {reason.value}")
    return headers, found


def _check(path: Path, found: Counter[str], acknowledged: Sequence[str], known: set[str]) -> None:
    for tx_id in acknowledged:
        if found[tx_id] != 1:
            raise BenchError(
                f"{path}: acknowledged transaction {tx_id}: expected it once, found it {found[tx_id]} times"
            )
    for tx_id, count in found.items():
        if tx_id not in known:
            raise BenchError(f"{path}: transaction {tx_id}: expected one that was submitted, found another")
        if count != 1:
            raise BenchError(f"{path}: transaction {tx_id}: expected it once, found it {count} times")


def find_missing(ledgers: Sequence[Path], promised: Collection[str]) -> set[str]:
    """Which of the ids that were ``promised`` at least one ledger lacks."""
    missing = set[str]()
    for path in ledgers:
        with SqliteLedger.open(path) as ledger:
            missing |= set(promised).difference(_read(ledger)[1])
    return missing
