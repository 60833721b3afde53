"""Who can be told from the chain by a visit or two: an attacker with the ledger and a little knowledge of somebody.

The ledger shows, of each record, author, kind, pseudonym and time.  The attacker knows of some visits of one person
when (to a precision), where and for what kind of record, and looks for the pseudonyms that fit all of them: exact
match, so chance plays no part but in who and what is drawn.  What it gains is the person's *other* records.

*stable*: one pseudonym on the chain.  *per study*: one for each hospital, as if it were a study.  *one-time*: one for
each record; to find a record that one knows tells nothing more.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ehrcore.block import RecordRef, TransactionBody
from ehrcore.codec import decode, encode
from ehrcore.hashing import find_suite
from ehrcore.pseudonyms import PseudonymKind, Pseudonyms
from ehrcore.types import SECOND

if TYPE_CHECKING:
    from bench.privacy.population import Visits

STABLE, STUDY, ONCE = "stable", "per study", "one-time"
MODES: Final = {STABLE: PseudonymKind.KEYED, STUDY: PseudonymKind.PER_STUDY, ONCE: PseudonymKind.ONE_TIME}
PRECISIONS_S: Final = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}
#: What the attacker knows of a visit beside its time.
KNOWLEDGE: Final = {"time, hospital, kind": (True, True), "time, hospital": (True, False), "time": (False, False)}

Cell = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """One record as the ledger shows it."""

    author: str
    kind: int
    pseudonym: bytes
    at_s: int


def write_chain(visits: "Visits", mode: str, secret: bytes) -> list[bytes]:
    """The canonical bytes of the transactions that these visits leave on the chain."""
    names = Pseudonyms(MODES[mode], find_suite("sha256"), secret, b"")
    chain, bodies = bytes(32), []
    held: dict[tuple[int, int], bytes] = {}
    for index, (patient, hospital, kind, at_s) in enumerate(
        zip(*(column.tolist() for column in (visits.patient, visits.hospital, visits.kind, visits.at_s)), strict=True)
    ):
        study = f"hospital-{hospital}" if mode == STUDY else ""
        key = (patient, hospital if mode == STUDY else index if mode == ONCE else 0)
        if key not in held:
            held[key] = names.name(f"patient-{patient}", study, index.to_bytes(8))
        record = RecordRef(kind, held[key], index.to_bytes(32), f"/sealed/{index}", 1_024)
        bodies.append(encode(TransactionBody(chain, f"visitor-{hospital}", index, at_s * SECOND, record)))
    return bodies


def read_chain(bodies: Iterable[bytes]) -> list[Seen]:
    """All that somebody who holds a ledger sees of records."""
    found = []
    for data in bodies:
        body = decode(data, TransactionBody)
        if isinstance(body.payload, RecordRef):
            payload = body.payload
            found.append(Seen(body.author, payload.kind, payload.pseudonym, body.submitted_at // SECOND))
    return found


def to_cell(seen: Seen, precision_s: int, knowledge: str) -> Cell:
    """What of a record can be compared with what is known of a visit."""
    has_hospital, has_kind = KNOWLEDGE[knowledge]
    return seen.author if has_hospital else "", seen.kind if has_kind else 0, seen.at_s // precision_s


@dataclass(frozen=True, slots=True)
class Attempt:
    """One target: how many pseudonyms fitted (1: singled out), and the share of the other records that it gave."""

    candidates: int
    gained: float


class Attacker:
    """Somebody who holds the ledger and knows visits to a precision."""

    def __init__(self, ledger: Sequence[Seen], precision_s: int, knowledge: str) -> None:
        self._cells = [to_cell(seen, precision_s, knowledge) for seen in ledger]
        self._fitting: dict[Cell, set[bytes]] = defaultdict(set)
        self._names = [seen.pseudonym for seen in ledger]
        self._sizes = Counter(self._names)
        for cell, name in zip(self._cells, self._names, strict=True):
            self._fitting[cell].add(name)

    def attempt(self, events: Sequence[int], known: Sequence[int]) -> Attempt:
        """``events`` are the places of all of the target's records in the ledger, ``known`` some of them.

        Known visits that one pseudonym would have to explain are searched for together: those of one true pseudonym,
        for the attacker knows where names change (hospitals, records).
        """
        groups: dict[bytes, list[int]] = defaultdict(list)
        for place in known:
            groups[self._names[place]].append(place)
        fewest, gained = 0, 0
        for name, places in groups.items():
            fitting = set.intersection(*(self._fitting[self._cells[place]] for place in places))
            fewest = min(fewest or len(fitting), len(fitting))
            if len(fitting) == 1:
                gained += self._sizes[name] - len(places)
        others = len(events) - len(known)
        return Attempt(fewest, gained / others if others else 0.0)


def choose_targets(
    visits: Mapping[int, Sequence[int]], known: int, count: int, seed: str
) -> list[tuple[Sequence[int], list[int]]]:
    """Up to ``count`` patients with more visits than are known of them, and which of these are known."""
    source = random.Random(f"{seed}|targets|{known}")
    eligible = [patient for patient in sorted(visits) if len(visits[patient]) > known]
    chosen = source.sample(eligible, min(count, len(eligible)))
    return [(visits[patient], source.sample(list(visits[patient]), known)) for patient in chosen]


def wilson(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval for a share (JASA 22, 1927); the whole range if nothing was tried."""
    if not count:
        return 0.0, 1.0
    share, square = hits / count, z * z / count
    middle, half = share + square / 2, z * ((share * (1 - share) + square / 4) / count) ** 0.5
    return max((middle - half) / (1 + square), 0.0), min((middle + half) / (1 + square), 1.0)
