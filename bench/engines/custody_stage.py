"""What attacks on custody are played on, how a try is judged, and how a protection is taken out."""

import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.engines.impostor import FULL
from bench.experiments.attacks import Tally
from bench.net.ward import Ward
from ehrcore.block import RecordRef
from ehrcore.codec import decode, encode
from ehrcore.consent import Action
from ehrcore.custodian import Placed
from ehrcore.custody import Denial, Deposit, Link, LinkUse, LinkUseBody, Release, release_info, unpack_share
from ehrcore.drive.net import custodians as readers
from ehrcore.drive.net import custody as keepers
from ehrcore.drive.net import shares
from ehrcore.drive.net.client import Answer
from ehrcore.drive.net.custodians import Handed
from ehrcore.drive.net.persons import Person
from ehrcore.drive.net.web.custody import LINK_USE_MEDIA
from ehrcore.drive.net.wrapping import unwrap
from ehrcore.errors import EhrError
from ehrcore.faults.mutants import Patch, patched

NO_JUDGING: Final = "accesses not judged"
BELIEVED: Final = "links believed"
NO_PLEDGES: Final = "shares not compared"
REPLACED: Final = "deposits replaced"
KEPT: Final = "erased in name only"
NO_LIMIT: Final = "no limit per author"
PROTECTIONS: Final = (FULL, NO_JUDGING, BELIEVED, NO_PLEDGES, REPLACED, KEPT, NO_LIMIT)
#: Deposits of one author that wait for their record; small here, for floods are short (usual: `shares.AUTHOR_LIMIT`),
#: and more than custodians who follow the chain at their leisure leave waiting of what is on it.
LIMIT: Final = 16
OK, CREATED = 200, 201
#: A record on the chain: the id of its transaction, and what that says.
Written = tuple[bytes, RecordRef]


@dataclass(frozen=True)
class Stage:
    """The ward, what lies in it before attacks (Anna's record, the doctor's access to it), and where tries count."""

    ward: Ward
    folder: Path
    tx_id: bytes
    record: RecordRef
    access: bytes
    tally: Tally

    @property
    def node(self) -> str:
        """The custodian that is attacked where it may be any."""
        return self.ward.custodians[0]

    async def ask(self, who: Person, access: bytes, written: Written | None = None, **changes: Any) -> None:
        """Ask for the share of a record (that of the stage); won if ``who`` can open it."""
        tx_id, record = written or (self.tx_id, self.record)
        await self.count(self.ward.ask(who, access, tx_id, **changes), self.opens(who, record))

    async def ask_to_search(self, who: Person) -> bytes:
        """The access by which ``who`` may search, on the chain; its id."""
        return await self.ward.access(who, self.record, action=Action.SEARCH, kind=0, record=b"")

    async def use(self, who: Person, link: Link, node: str = "") -> None:
        """Fetch the record's object by a link; won if that is what is sent."""
        body = encode(LinkUse(link, who.crypto.sign(LinkUseBody(link))))
        sealed = self.ward.store.get(self.record.location)
        asking = self.ward.client.request(node or self.node, "/v1/custody/objects", body, media=LINK_USE_MEDIA)
        await self.count(asking, lambda answer: answer.status == OK and answer.body == sealed, node)

    async def count(self, asking: Coroutine[Any, Any, Answer], wins: Callable[[Answer], bool], node: str = "") -> None:
        """One request: won if the answer can be used, else refused for the reason that the custodian counts."""
        keeper = self._keeper(node or self.node)
        before, begin = keeper.denials.copy(), time.perf_counter_ns()
        answer = await asking
        spent, counted = time.perf_counter_ns() - begin, keeper.denials - before
        reason = next(
            (f"custodian: {denial.value}" for denial in counted),
            "sealed to another" if answer.status == OK else f"answered {answer.status}",
        )
        self.tally.add(None if wins(answer) else reason, spent)

    def opens(self, who: Person, record: RecordRef) -> Callable[[Answer], bool]:
        """Whether a release gives ``who`` the share of this record's key."""
        ward = self.ward
        digest = ward.author.crypto.hash_struct(record)

        def wins(answer: Answer) -> bool:
            if answer.status != OK:
                return False
            info = release_info(ward.chain, self.node, who.subject, digest)
            return unwrap(who.wrap_key, info, decode(answer.body, Release).sealed) is not None

        return wins

    async def read(self, person: Person, access: bytes, content: bytes, written: Written | None = None) -> str | None:
        """None if the whole way of a reader gives the content."""
        tx_id, record = written or (self.tx_id, self.record)
        try:
            found = await self.ward.read(person, access, tx_id, record, self.folder)
        except EhrError as error:
            return f"reader: {str(error)[:60]}"
        return None if found == content else "reader: other bytes"

    def store_of(self, node: str) -> Any:
        """The shares that a custodian keeps, in the hands of who runs it."""
        return self._keeper(node)._store  # noqa: SLF001 - a custodian that lies has its hands there

    def _keeper(self, node: str) -> keepers.Custody:
        keeper = self.ward.hosts[node].custody
        if keeper is None:
            raise TypeError(node)
        return keeper

    @contextlib.contextmanager
    def later(self, by_ns: int) -> Iterator[Callable[[], int]]:
        """The first custodian's clock, moved on."""
        host = self.ward.hosts[self.node]
        clock = host._clock  # noqa: SLF001 - nobody waits ten minutes
        host._clock = lambda: clock() + by_ns  # noqa: SLF001
        try:
            yield host.now
        finally:
            host._clock = clock  # noqa: SLF001


#: Makes an attack's tries.
Play = Callable[[Stage], Coroutine[Any, Any, None]]


class Attack(NamedTuple):
    """One attack: ``play`` makes its tries, ``beaten`` are the protections without which it has to succeed."""

    name: str
    variant: str
    play: Play
    beaten: str = ""


# -- protections taken out ---------------------------------------------------------------------------------------------


def _take_access(_book: Any, _asker: Any, _action: Any, placed: Placed | None, _now: int) -> Any:
    return placed.body.payload if placed else Denial.UNKNOWN_ACCESS


def _take_record(_crypto: Any, _access: Any, placed: Placed | None) -> Any:
    return placed.body.payload if placed else Denial.UNKNOWN_RECORD


def _take_share(self: Any, name: str, record: bytes, release: Release, wrap_key: Any) -> Handed:
    """A reader that does not compare what it is handed with what the author has pledged."""
    info = release_info(self._chain, name, self._person, record)
    share = unwrap(wrap_key, info, release.sealed)
    return Handed(name, release, unpack_share(share or b""))


_add: Final = shares.ShareStore.add
_destroy: Final = shares.ShareStore._destroy  # noqa: SLF001


def _replace(self: Any, deposit: Deposit, share: bytes, now: int) -> Denial:
    """The last one counts."""
    with self._writing():
        values = (deposit.dealing.record, deposit.dealing.author)
        self._db.execute("DELETE FROM deposits WHERE record = ? AND author = ?", values)
    return _add(self, deposit, share, now)


def strike(self: Any, slots: list[int]) -> None:
    """Entries go, what they point to stays."""
    self._db.executemany("DELETE FROM deposits WHERE slot = ?", [(slot,) for slot in slots])


def weaken(protection: str) -> contextlib.AbstractContextManager[None]:
    """The product while it lacks a protection; floods meet a small limit unless there is none."""
    patches: dict[str, tuple[Patch, ...]] = {
        NO_JUDGING: ((keepers, "judge_access", _take_access), (keepers, "judge_release", _take_record)),
        BELIEVED: ((keepers, "judge_link", lambda *_: Denial.NONE),),
        NO_PLEDGES: ((readers.Custodians, "_check", _take_share),),
        REPLACED: ((shares.ShareStore, "add", _replace),),
        KEPT: ((shares.ShareStore, "_destroy", strike),),
        NO_LIMIT: ((shares, "AUTHOR_LIMIT", 1 << 60),),
    }
    return patched(((shares, "AUTHOR_LIMIT", LIMIT), (readers, "PATIENCE_S", 0.5), *patches.get(protection, ())))
