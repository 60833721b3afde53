"""A network's custodians, as authors and readers meet them: deal a key out, get it back, fetch and open the object.

No custodian is believed: a share is compared with what the author has pledged, a dealing with the other custodians',
the object with the digest on the chain, and the key with what the object commits to.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ehrcore.block import RecordRef
from ehrcore.codec import decode, encode
from ehrcore.crypto import Crypto
from ehrcore.custody import (
    Dealing,
    Deposit,
    Hit,
    LinkUse,
    LinkUseBody,
    Page,
    PageBody,
    Release,
    ReleaseBody,
    ReleaseRequest,
    SearchBody,
    SearchRequest,
    SignedPage,
    deal,
    deposit_info,
    pack_share,
    pledged,
    release_info,
    search_info,
    share_digest,
    unpack_share,
)
from ehrcore.drive.net.client import Client, NoAnswerError, ask_each
from ehrcore.drive.net.objects import CHUNK_BYTES
from ehrcore.drive.net.wrapping import unwrap, wrap
from ehrcore.errors import CodecError, DeploymentError, StorageError
from ehrcore.params import majority
from ehrcore.sealing import open_stream, record_context
from ehrcore.sharing import Share, join, restore, split
from ehrcore.types import Role

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

T = TypeVar("T")

DEPOSIT_ROUTE, DEPOSIT_MEDIA = "/v1/custody/deposits", "application/vnd.ehrcore.deposit"
RELEASE_ROUTE, RELEASE_MEDIA = "/v1/custody/releases", "application/vnd.ehrcore.release-request"
SEARCH_ROUTE, SEARCH_MEDIA = "/v1/custody/searches", "application/vnd.ehrcore.search-request"
OBJECT_ROUTE, OBJECT_MEDIA = "/v1/custody/objects", "application/vnd.ehrcore.link-use"
CREATED, FORBIDDEN = 201, 403
#: How long a custodian that is behind with the chain may take to see an access that others have.
PATIENCE_S: Final = 5.0
PAUSE_S: Final = 0.2
#: How often a deposit is tried, and an object fetched from one custodian.
TRIES: Final = 3
DEPOSIT_TIMEOUT_S: Final = 5.0
#: How long one custodian may go on listing: its pages are as many as it says.
SEARCH_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Handed:
    """A share that a custodian has handed out, as it was pledged, with the release that it came in."""

    custodian: str
    release: Release
    share: Share = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a search has found, in the order of the chain.

    ``disputed`` are transactions that not all custodians have listed alike: one may lie, or be behind.
    """

    hits: list[Hit]
    disputed: frozenset[bytes]


class Custodians:
    """The contributors of one network, asked by ``person``, for whom ``crypto`` signs."""

    def __init__(self, client: Client, person: str, crypto: Crypto) -> None:
        self._client, self._person, self._crypto = client, person, crypto
        self._chain = bytes.fromhex(client.plan.chain)
        genesis = client.plan.open_genesis()
        bodies = [item.body for item in genesis.certificates if item.body.role is Role.CONTRIBUTOR]
        self._keys = {body.subject: body.wrap_key for body in bodies}
        self._signing_keys = {body.subject: body.public_key for body in bodies}
        self.names = tuple(self._keys)
        self.threshold = majority(len(self.names))
        self._failing: set[str] = set()

    # -- authors -----------------------------------------------------------------------------------------------

    async def deposit(self, record: RecordRef, key: bytes) -> list[str]:
        """Deal ``key`` out; who keeps no share of it, and why, where that is news.

        `DeploymentError` if those that keep theirs are too few to give it back.
        """
        digest, count = self._crypto.hash_struct(record), len(self.names)
        chance = os.urandom((self.threshold - 1) * len(key))
        shares = dict(zip(self.names, map(pack_share, split(key, self.threshold, count, chance)), strict=True))
        dealing, signature = deal(
            self._crypto, self._chain, self._person, digest, self.threshold, shares, time.time_ns()
        )

        told = await ask_each(
            self.names,
            lambda name: self._hand_in(name, dealing, signature, shares[name], 1 if name in self._failing else TRIES),
        )
        if len(told.answers) < self.threshold:
            words = "; ".join(told.silent.values())
            raise DeploymentError(
                f"custodians: expected {self.threshold} of {count} to keep the record's key, "
                f"found {len(told.answers)} ({words})"
            )
        what = "keeps no share of the keys of records"
        news = [f"{name} {what}: {told.silent[name]}" for name in told.silent.keys() - self._failing]
        self._failing = set(told.silent)
        return sorted(news)

    async def _hand_in(self, name: str, dealing: Dealing, signature: bytes, share: bytes, tries: int) -> None:
        """The same bytes each time: what was kept, and could not be answered, is known again."""
        sealed = wrap(self._keys[name], deposit_info(self._chain, name, dealing.record), share)
        body = encode(Deposit(dealing, signature, sealed))
        for left in reversed(range(tries)):
            try:
                answer = await self._client.request(
                    name, DEPOSIT_ROUTE, body, media=DEPOSIT_MEDIA, timeout_s=DEPOSIT_TIMEOUT_S
                )
                if answer.status == CREATED:
                    return
                why = NoAnswerError(f"{name}: {answer.problem()}")
            except NoAnswerError as error:
                answer, why = None, error
            if not left or (answer is not None and answer.status == FORBIDDEN):
                raise why
            await asyncio.sleep(PAUSE_S)

    # -- readers -----------------------------------------------------------------------------------------------

    async def collect(
        self, access: bytes, tx_id: bytes, record: RecordRef, wrap_key: "X25519PrivateKey"
    ) -> tuple[list[Handed], dict[str, str]]:
        """Ask for the shares of the key of what transaction ``tx_id`` is about, by the access with this id.

        As many custodians' as one dealing needs, or more; else `StorageError`.  With them, who has handed out none
        that is right, and why not.
        """
        digest = self._crypto.hash_struct(record)

        async def ask(name: str) -> Handed:
            body = ReleaseBody(self._chain, name, self._person, access, tx_id, time.time_ns())
            asked = encode(ReleaseRequest(body, self._crypto.sign(body)))
            answer = await self._client.fetch(name, RELEASE_ROUTE, asked, media=RELEASE_MEDIA)
            return self._check(name, digest, answer.struct(Release), wrap_key)

        handed, troubles = await self._ask_until(ask, lambda found: len(_largest_group(found)) >= self.threshold)
        group = _largest_group(handed.values())
        if len(group) < self.threshold:
            words = "; ".join(f"{name}: {why}" for name, why in sorted(troubles.items()))
            raise StorageError(
                f"custodians: expected {self.threshold} to release the record's key, found {len(group)} ({words}); "
                "who does not permit what the chain does has no share, is behind, or another clock than this host"
            )
        for name in set(handed) - {item.custodian for item in group}:
            troubles[name] = "expected the author's dealing as the others have it, found another"
        return group, troubles

    async def _ask_until(
        self, ask: Callable[[str], Awaitable[T]], is_enough: Callable[[Collection[T]], bool]
    ) -> tuple[dict[str, T], dict[str, str]]:
        """What custodians answer, and why the others do not: they are asked again until it is enough, or too late."""
        answers: dict[str, T] = {}
        troubles: dict[str, str] = {}
        end = time.monotonic() + PATIENCE_S

        async def attempt(name: str) -> None:
            try:
                answers[name] = await ask(name)
                troubles.pop(name, None)
            except (NoAnswerError, StorageError) as error:
                troubles[name] = str(error).removeprefix(f"{name}: ")

        while True:
            await asyncio.gather(*(attempt(name) for name in self.names if name not in answers))
            if is_enough(answers.values()) or time.monotonic() >= end:
                return answers, troubles
            await asyncio.sleep(PAUSE_S)

    def _check(self, name: str, record: bytes, release: Release, wrap_key: "X25519PrivateKey") -> Handed:
        """A custodian's share as the author has pledged it; `StorageError` if it is another."""
        dealing = release.dealing
        names = tuple(pledge.custodian for pledge in dealing.pledges)
        expected = self._chain, record, self.threshold, self.names
        if (dealing.chain, dealing.record, dealing.threshold, names) != expected:
            raise StorageError(f"{name}: expected a share of this record's key, found another's")
        share = unwrap(wrap_key, release_info(self._chain, name, self._person, record), release.sealed)
        if share is None or share_digest(share) != pledged(dealing, name):
            raise StorageError(f"{name}: expected the share that the author has pledged, found another")
        return Handed(name, release, unpack_share(share))

    async def restore(self, handed: Sequence[Handed]) -> list[str]:
        """Give those who have handed out no share theirs again, as it was dealt; who has taken it.

        They may have lost it, or have been down when it was dealt.  Whoever reads knows the key, and so all shares.
        """
        dealing, signature = handed[0].release.dealing, handed[0].release.signature
        missing = set(self.names) - {item.custodian for item in handed}
        made = {
            pledge.custodian: pack_share(restore([item.share for item in handed], index))
            for index, pledge in enumerate(dealing.pledges, 1)
            if pledge.custodian in missing
        }
        shares = {name: share for name, share in made.items() if share_digest(share) == pledged(dealing, name)}
        told = await ask_each(shares, lambda name: self._hand_in(name, dealing, signature, shares[name], 1))
        return sorted(told.answers)

    async def fetch(self, handed: Sequence[Handed], record: RecordRef, path: Path) -> None:
        """Fetch the sealed object by a link into the file ``path``; `StorageError` if nobody has it as declared."""
        troubles = []
        for item in handed:
            try:
                return await self._fetch(item, record, path)
            except (NoAnswerError, StorageError) as error:
                troubles.append(str(error))
        raise StorageError(f"{record.location}: expected the sealed record, found none ({'; '.join(troubles)})")

    async def _fetch(self, handed: Handed, record: RecordRef, path: Path) -> None:
        link, name = handed.release.link, handed.custodian
        body = encode(LinkUse(link, self._crypto.sign(LinkUseBody(link))))
        state, size = self._crypto.suite.new(b""), 0
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for chunk in self._client.stream(name, OBJECT_ROUTE, body, media=OBJECT_MEDIA):
                size += len(chunk)
                if size > record.size_bytes:
                    break
                state.update(chunk)
                file.write(chunk)
        if size != record.size_bytes or state.digest() != record.digest:
            raise StorageError(f"{name}: expected digest {record.digest.hex()}, found other bytes")

    async def search(self, access: bytes, wrap_key: "X25519PrivateKey") -> Listing:
        """What the search ``access`` finds, as a majority of custodians or more list it; `StorageError` if fewer do."""

        async def ask(name: str) -> list[Hit]:
            try:
                async with asyncio.timeout(SEARCH_S):
                    return await self._search(name, access, wrap_key)
            except TimeoutError:
                raise StorageError(f"expected the end of its list within {SEARCH_S:g} s, found none") from None

        listed, troubles = await self._ask_until(ask, lambda found: len(found) >= self.threshold)
        if len(listed) < self.threshold:
            words = "; ".join(f"{name}: {troubles[name]}" for name in self.names if name not in listed)
            raise StorageError(
                f"custodians: expected {self.threshold} to list the records, found {len(listed)} ({words})"
            )
        return merge(listed.values())

    async def _search(self, name: str, access: bytes, wrap_key: "X25519PrivateKey") -> list[Hit]:
        hits: list[Hit] = []
        place, has_more = (0, -1), True
        while has_more:
            body = SearchBody(self._chain, name, self._person, access, *place, time.time_ns())
            asked = encode(SearchRequest(body, self._crypto.sign(body)))
            answer = await self._client.fetch(name, SEARCH_ROUTE, asked, media=SEARCH_MEDIA)
            page = self._open_page(name, body, unwrap(wrap_key, search_info(body), answer.body) or b"")
            hits += page.hits
            if page.has_more and (page.height, page.position) <= place:
                raise StorageError(f"{name}: expected the next page, found one again")
            place, has_more = (page.height, page.position), page.has_more
        return hits

    def _open_page(self, name: str, asked: SearchBody, content: bytes) -> Page:
        """A page in its custodian's own word: whoever stands between can seal one to the asker, too."""
        try:
            signed = decode(content, SignedPage)
        except CodecError:
            raise StorageError(f"{name}: expected a page of records, found something else") from None
        if not self._crypto.verify(self._signing_keys[name], PageBody(asked, signed.page), signed.signature):
            raise StorageError(f"{name}: expected a page with its signature, found another")
        return signed.page


def merge(lists: Collection[Sequence[Hit]]) -> Listing:
    """One list of several: nobody hides a record by leaving it out, and what not all list is named."""
    said: dict[tuple[int, int, bytes, RecordRef], list[bool]] = {}
    for hits in lists:
        for hit in set(hits):
            said.setdefault((hit.height, hit.position, hit.transaction, hit.record), []).append(hit.is_erased)
    order = sorted(said, key=lambda place: place[:3])
    merged = [Hit(tx_id, record, height, position, all(said[height, position, tx_id, record]))
              for height, position, tx_id, record in order]  # fmt: skip
    return Listing(merged, frozenset(place[2] for place in order if len(said[place]) != len(lists)))


def _largest_group(handed: Iterable[Handed]) -> list[Handed]:
    """Those whose dealing is one and the same, and most custodians': the others have made theirs up."""
    groups: dict[bytes, list[Handed]] = {}
    for item in handed:
        groups.setdefault(encode(item.release.dealing), []).append(item)
    return max(groups.values(), key=len, default=[])


def unseal(record: RecordRef, handed: Sequence[Handed], sealed: Path, plain: Path) -> bytes:
    """Open the sealed object in one file into the new file ``plain``, and return the record's key.

    One segment at a time is in memory.  `StorageError` if shares, object, patient and kind do not belong together; then
    there is no file.
    """
    key = join([item.share for item in handed])
    try:
        with os.fdopen(os.open(plain, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with sealed.open("rb") as source:
                chunks = iter(lambda: source.read(CHUNK_BYTES), b"")
                for segment in open_stream(key, record_context(record.kind, record.pseudonym), chunks):
                    file.write(segment)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        plain.unlink(missing_ok=True)
        raise
    return key
