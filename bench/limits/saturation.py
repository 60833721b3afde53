"""A real network under a closed loop: what it commits, what that took, and proof that it was counted right."""

from collections.abc import Iterable
from statistics import median
from typing import Any, Final

from bench.errors import BenchError
from bench.net.audit import audit_ledgers
from bench.net.network import MeasuredNetwork
from bench.net.step import Played, Step
from bench.net.usage import compute_rate
from ehrcore.block import RecordRef, Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.records import ClinicalRecord, RecordKind

WARM_S, SECONDS = 1.0, 4.0
_TIMEOUT_S: Final = 30.0
#: Transactions that are built for each second; nothing here comes near it.
_MOST_PER_S: Final = 4_000
RECORDS: Final = tuple(
    ClinicalRecord(
        RecordKind.SENSOR, "patient", "Observation", f"/hospital/report-store/sensor/{index:08}.json", bytes(900)
    )
    for index in range(15)
)


def count_transaction_bytes() -> int:
    """Bytes of one signed transaction about one of `RECORDS`, as a visitor sends it."""
    record = RecordRef(int(RecordKind.SENSOR), bytes(32), bytes(32), RECORDS[0].location, 1_024)
    body = TransactionBody(bytes(32), "visitor-0", _MOST_PER_S, 1 << 60, record)
    return len(encode(Transaction(body, bytes(64))))


class Saturation:
    """Load on a network, turn by turn: ``outstanding`` transactions under way.  ``committed`` counts them so far."""

    def __init__(self, network: MeasuredNetwork, outstanding: int) -> None:
        self._network, self._outstanding = network, outstanding
        self.committed = 0

    def play(self) -> Played:
        """One turn; `BenchError` if a transaction of it did not get into every ledger as valid."""
        stock = self._outstanding + round(_MOST_PER_S * (WARM_S + SECONDS))
        step = Step(
            seed="limits",
            seconds=SECONDS,
            warm_s=WARM_S,
            timeout_s=_TIMEOUT_S,
            outstanding=self._outstanding,
            stock=stock,
        )
        played = self._network.play(step)
        refused = [moment.verdict for moment in played.moments if moment.verdict or moment.refused is not None]
        if refused or played.unsettled or played.is_out_of_stock:
            raise BenchError(
                f"load: expected every transaction committed, found {len(refused)} refused ({' '.join(refused[:1])}), "
                f"{played.unsettled} without an answer{', and none left to send' if played.is_out_of_stock else ''}"
            )
        self.committed += len(played.completions)
        return played

    def rate(self) -> float:
        """Transactions per second that all contributors commit, over one turn."""
        return find_rate(self.play())

    def finish(self) -> int:
        """Stop the network: how many transactions are in every ledger.

        `BenchError` if those are not exactly the ones counted; one ledger is replayed from genesis.
        """
        finished, folder = self._network.stop(), self._network.folder
        ledgers = [folder.node(name) / "ledger.sqlite" for name in self._network.contributors()]
        found = audit_ledgers(ledgers, finished)
        if found != self.committed:
            raise BenchError(f"ledgers: expected the {self.committed} transactions that were counted, found {found}")
        return found


def find_rate(played: Played) -> float:
    """Transactions per second that reached all contributors while load was on; `BenchError` if there were none."""
    rate = compute_rate([instant for instant in played.completions if played.since < instant <= played.until])
    if rate is None:
        raise BenchError(f"load: expected committed transactions within {SECONDS:g} s, found less than two blocks")
    return rate


def count_per_tx(played: Played, counter: str) -> float:
    """What all nodes counted under ``counter`` for each transaction that ledgers grew by, between the two readings.

    Every node is read at an instant of its own and counts by its own time.  `BenchError` unless both grew.
    """
    counted, transactions = sum(_rates(played, counter)), median(_rates(played, "transactions"))
    if counted <= 0 or transactions <= 0:
        raise BenchError(
            f"{counter}: expected counts that grow with transactions, found {counted:g} and {transactions:g} per ns"
        )
    return counted / transactions


def _rates(played: Played, counter: str) -> Iterable[float]:
    """By how much the counter grew in a nanosecond, for each node that has it."""
    for name, after in played.after.items():
        before: dict[str, Any] | None = played.before[name]
        if after and before and after.get(counter) is not None:
            grown = after[counter] - before[counter]
            if grown < 0:
                raise BenchError(
                    f"{name}: expected {counter} to grow, found {before[counter]} and then {after[counter]}"
                )
            yield grown / (after["now_ns"] - before["now_ns"])
