"""A contributor as custodian: it takes shares of records' keys, and releases them on what its own ledger says.

All of its file's work is done in a thread of its own; following the ledger (claims, erasures) is a task beside the
role.  What is denied is denied in the same words, whatever the reason; reasons are counted, and logged when a count
reaches a power of two, where the node's operator alone sees them: `/v1/status` may be read by who was denied.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ehrcore.block import RecordRef
from ehrcore.codec import encode
from ehrcore.consent import Access, Action
from ehrcore.custodian import (
    LINK_NS,
    Placed,
    judge_access,
    judge_asker,
    judge_deposit,
    judge_link,
    judge_release,
    make_link,
)
from ehrcore.custody import (
    Dealing,
    Denial,
    Deposit,
    LinkBody,
    LinkUse,
    Page,
    PageBody,
    Release,
    ReleaseRequest,
    SearchRequest,
    SignedPage,
    deposit_info,
    pledged,
    release_info,
    search_info,
    share_digest,
)
from ehrcore.drive.net.keys import WRAP_FILE, read_wrap_key
from ehrcore.drive.net.objects import Store
from ehrcore.drive.net.shares import ShareStore, place_of, split_place
from ehrcore.drive.net.wrapping import unwrap, wrap
from ehrcore.errors import EhrError, StorageError
from ehrcore.identity import CertificateBody
from ehrcore.ledger import SqliteLedger
from ehrcore.state import ChainState
from ehrcore.types import Role

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ehrcore.drive.net.host import NodeHost

T = TypeVar("T")

#: Blocks that are followed at once.
BLOCKS: Final = 64
#: Records of a patient that one answer to a search may go through.
PAGE: Final = 256
#: Objects that are streamed at a time, and used links that are remembered; more have to wait outside.
MOST_STREAMS: Final = 32
#: As many of them may be of one person: who reads slowly, on purpose or not, keeps nobody else from reading.
MOST_OF_PERSON: Final = 4
MOST_LINKS: Final = 65_536
PAUSE_S: Final = 0.25
#: How long an asker waits for a custodian that has just started to catch up with the chain.
CATCH_UP_S: Final = 3.0
SWEEP_S: Final = 60.0
_log = logging.getLogger(__name__)


class DeniedError(EhrError):
    """What is not permitted; ``denial`` is for the node alone."""

    def __init__(self, denial: Denial) -> None:
        super().__init__("not permitted")
        self.denial = denial


class FullError(EhrError):
    """As much under way as there may be, or too little known."""


class Custody:
    """What one contributor keeps and does for readers; its methods belong to one event loop."""

    def __init__(
        self, host: "NodeHost", wrap_key: "X25519PrivateKey", store: ShareStore, ledger: SqliteLedger, objects: Store
    ) -> None:
        self._host, self._wrap_key, self._store = host, wrap_key, store
        self._ledger, self._objects = ledger, objects
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="custody")
        # Fresh at each start: no link outlives the process that remembers which were used.
        self._secret = os.urandom(32)
        self._used: dict[bytes, int] = {}
        self._custodians = host.plan.names(Role.CONTRIBUTOR)
        #: Objects that are being streamed, by who reads them.
        self.streams: Counter[str] = Counter()
        self.denials: Counter[Denial] = Counter()
        #: Sealed records whose key this node has no share of.
        self.lacking = 0
        store.require_chain(ledger.height)
        self._height = self._catch_up(ledger.height)

    @classmethod
    def open(cls, host: "NodeHost", home: Path, objects: Store) -> "Custody":
        """Open the node's shares, and destroy what the ledger says is erased; `EhrError` names what is damaged."""
        wrap_key = read_wrap_key(home / WRAP_FILE)
        with ExitStack() as stack:
            ledger = stack.enter_context(SqliteLedger.open(home / "ledger.sqlite"))
            store = ShareStore.open(home, host.chain, host.name, host.crypto.suite, ledger)
            stack.callback(store.close)
            custody = cls(host, wrap_key, store, ledger, objects)
            stack.pop_all()
            return custody

    async def _run(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    def _require(self, judged: Denial | T) -> T:
        """What was judged good; a denial is counted and raised."""
        if not isinstance(judged, Denial):
            return judged
        self.denials[judged] += 1
        if (count := self.denials[judged]).bit_count() == 1:
            _log.warning("%s: denied for the %d. time: %s", self._host.name, count, judged.value)
        raise DeniedError(judged)

    def _permit(self, denial: Denial) -> None:
        self._require(denial or None)

    @property
    def _state(self) -> ChainState:
        state = self._host.state
        assert state is not None  # noqa: S101 - a contributor has one
        return state

    def _find(self, tx_id: bytes) -> Placed | None:
        host = self._host
        found = host.find(tx_id)
        if found is None:
            return None
        header = host.entries(found.height, found.height + 1)[0].block.header
        return Placed(found.endorsed.transaction.body, found.reason, header.timestamp)

    # -- deposits ----------------------------------------------------------------------------------------------

    async def deposit(self, deposit: Deposit) -> None:
        """Keep a share durably; `DeniedError` if it is not to be kept."""
        host, now, dealing = self._host, self._host.now(), deposit.dealing
        registry = self._state.registry
        judge = partial(judge_deposit, host.crypto, registry, host.chain, self._custodians, deposit, now)
        denial = judge()
        if denial is Denial.CLOCK and await self._has_placed(dealing):
            # What was dealt long ago for a record on the chain comes back from one of its readers.
            denial = judge(dealing.dealt_at)
        self._permit(denial)
        share = unwrap(self._wrap_key, deposit_info(host.chain, host.name, dealing.record), deposit.sealed)
        is_pledged = share is not None and share_digest(share) == pledged(dealing, host.name)
        good = self._require(share if share is not None and is_pledged else Denial.BAD_SHARE)
        self._permit(await self._run(partial(self._add, deposit, good, now)))

    async def _has_placed(self, dealing: Dealing) -> bool:
        await self.follow()
        return await self._run(partial(self._store.has_placed, dealing.author, dealing.record))

    def _add(self, deposit: Deposit, share: bytes, now: int) -> Denial:
        """In the thread."""
        denial = self._store.add(deposit, share, now)
        self.lacking = self._store.count_lacking()
        return denial

    async def _be_up_to_date(self) -> None:
        """Wait until the node has asked for the chain: what was withdrawn while it was down it has not heard of yet."""
        end = time.monotonic() + CATCH_UP_S
        while not self._host.has_caught_up:
            if time.monotonic() >= end:
                raise FullError(f"{self._host.name}: expected to have asked for the chain, found its end unknown")
            await asyncio.sleep(PAUSE_S / 5)

    # -- askers ------------------------------------------------------------------------------------------------

    def _open_access(
        self, request: ReleaseRequest | SearchRequest, action: Action, now: int
    ) -> tuple[CertificateBody, Access]:
        """Who asks, and the access by which they may."""
        host, state = self._host, self._state
        asker = self._require(judge_asker(host.crypto, state.registry, host.chain, host.name, request, now))
        placed = self._find(request.body.access)
        return asker, self._require(judge_access(state.consents, asker, action, placed, now))

    def _seal(self, asker: CertificateBody, info: bytes, content: bytes) -> bytes:
        try:
            return wrap(asker.wrap_key, info, content)
        except ValueError:
            return self._require(Denial.NO_WRAP_KEY)

    async def release(self, request: ReleaseRequest) -> Release:
        """The share of a record's key, sealed to the asker, with a link to the object; `DeniedError`, `FullError`."""
        await self._be_up_to_date()
        host, body, now = self._host, request.body, self._host.now()
        asker, access = self._open_access(request, Action.READ, now)
        placed = self._find(body.record)
        record = self._require(judge_release(host.crypto, access, placed))
        author = placed.body.author if placed else ""
        kept = await self._run(partial(self._store.find, author, access.record))
        dealing, signature, share = self._require(kept or Denial.NO_SHARE)
        sealed = self._seal(asker, release_info(host.chain, host.name, asker.subject, access.record), share)
        link = LinkBody(
            host.chain, host.name, asker.subject, access.purpose, body.record, record.location, record.digest,
            now + LINK_NS, os.urandom(16),
        )  # fmt: skip
        return Release(dealing, signature, sealed, make_link(self._secret, link))

    async def search(self, request: SearchRequest) -> bytes:
        """A `SignedPage` of what an accepted search has found, sealed to the asker; `DeniedError`, `FullError`."""
        await self._be_up_to_date()
        body = request.body
        asker, access = self._open_access(request, Action.SEARCH, self._host.now())
        await self.follow()
        after = place_of(body.after_height, body.after_position)
        hits, last = await self._run(partial(self._store.search, access.pseudonym, access.kind, after, PAGE))
        page = Page(tuple(hits), last is not None, *(split_place(last) if last is not None else (0, -1)))
        signed = SignedPage(page, self._host.crypto.sign(PageBody(body, page)))
        return self._seal(asker, search_info(body), encode(signed))

    # -- links -------------------------------------------------------------------------------------------------

    def use(self, use: LinkUse) -> LinkBody:
        """What a link permits, once: from here on it is used.  `DeniedError`, or `FullError` to try again later."""
        host, now, body = self._host, self._host.now(), use.link.body
        if len(self._used) >= MOST_LINKS:
            self._used = {nonce: end for nonce, end in self._used.items() if end > now}
        if self.streams.total() >= MOST_STREAMS or len(self._used) >= MOST_LINKS:
            raise FullError(f"{host.name}: expected fewer objects to be read at once")
        self._permit(judge_link(host.crypto, self._state.registry, self._secret, use, self._used, now))
        if self.streams[body.person] >= MOST_OF_PERSON:
            raise FullError(f"{host.name}: expected fewer objects to be read at once by one person")
        placed = self._find(body.record)
        record = placed.body.payload if placed else None
        if not isinstance(record, RecordRef):
            return self._require(Denial.UNKNOWN_RECORD)
        if self._state.consents.is_erased(record.pseudonym, host.crypto.hash_struct(record)):
            return self._require(Denial.ERASED)
        self._used[body.nonce] = body.expires_at
        return body

    async def stream(self, link: LinkBody) -> AsyncGenerator[bytes]:
        """The object that a used link is for in chunks, read in a thread; nothing if there is none.

        `StorageError` if the store does not answer.
        """
        self.streams[link.person] += 1
        try:
            chunks = await asyncio.to_thread(self._objects.open, link.location)
            while chunks is not None and (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                yield chunk
        finally:
            self.streams -= Counter((link.person,))

    # -- the ledger --------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Take note of all blocks of this node's ledger: from here on what they erase is destroyed."""
        library = self._host.library
        if library is not None and library.height > self._height:
            self._height = await self._run(partial(self._catch_up, library.height))

    def _catch_up(self, last: int) -> int:
        """In the thread: destroy shares first, then objects; a store that does not answer is asked again later."""
        store = self._store
        while (height := store.height) < last:
            store.follow(list(self._ledger.entries(height + 1, min(height + 1 + BLOCKS, last + 1))))
        for location, is_needed in store.erased_objects():
            try:
                if not is_needed:
                    self._objects.delete(location)
                store.forget(location)
            except StorageError as error:
                _log.warning("%s: %s", self._host.name, error)
        self.lacking = store.count_lacking()
        return height

    async def run(self) -> None:
        """Follow the ledger, for ever, and now and then destroy what has waited for its record too long."""
        swept = -SWEEP_S
        while True:
            await self.follow()
            if time.monotonic() - swept >= SWEEP_S:
                swept = time.monotonic()
                await self._run(self._sweep)
            await asyncio.sleep(PAUSE_S)

    def _sweep(self) -> None:
        # By the chain's time, as far as it is known here: a node that was down for long has yet to hear what was
        # recorded meanwhile.
        self._store.sweep(min(self._host.now(), self._state.timestamp))
        self._catch_up(self._store.height)

    def close(self) -> None:
        """Finish what is being written, and release the files."""
        self._thread.shutdown()
        self._store.close()
        self._ledger.close()
