"""Custodians over real nodes: who may read gets the record, everybody else the same answer, and erased means gone."""

import argparse
import asyncio
import contextlib
import hashlib
import os
import sqlite3
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ehrcore import custodian
from ehrcore.block import RecordRef, Transaction, TransactionBody
from ehrcore.cli.desk import Desk, keep_record
from ehrcore.codec import decode, encode
from ehrcore.consent import Access, Action, Consent, Emergency, Erasure, Provision, Purpose, Withdrawal
from ehrcore.crypto import Crypto
from ehrcore.custody import (
    Denial,
    Deposit,
    LinkUse,
    LinkUseBody,
    Release,
    ReleaseBody,
    ReleaseRequest,
    SearchBody,
    SearchRequest,
    deal,
    deposit_info,
    pack_share,
    release_info,
)
from ehrcore.drive.net import custodians as client_module
from ehrcore.drive.net import shares as shares_module
from ehrcore.drive.net.client import Client
from ehrcore.drive.net.custodians import Custodians, unseal
from ehrcore.drive.net.custody import MOST_OF_PERSON
from ehrcore.drive.net.host import Phase
from ehrcore.drive.net.objects import FileStore
from ehrcore.drive.net.persons import Person
from ehrcore.drive.net.web.custody import (
    DEPOSIT_MEDIA,
    LINK_USE_MEDIA,
    MAX_DEPOSIT_BYTES,
    REQUEST_MEDIA,
    SEARCH_MEDIA,
)
from ehrcore.drive.net.web.problems import ProblemView
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA
from ehrcore.drive.net.wrapping import unwrap, wrap
from ehrcore.errors import DeploymentError, StorageError
from ehrcore.hashing import find_suite
from ehrcore.identity import FOREVER, Capacity, Reason
from ehrcore.params import ChainParams
from ehrcore.records import RecordKind, make_record
from ehrcore.sharing import split
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import Role
from tests.core.net.conftest import Answer, Local, eventually, found_local

NODES = ("agent-0", "coordinator-0", "administrator-0")
CUSTODIANS = ("contributor-0", "contributor-1", "contributor-2")
PATIENT = hashlib.sha256(b"anna").digest()


def make_person(params: ChainParams, alias: str) -> Person:
    scheme = find_scheme(f"{params.curve}/cryptography")
    key = scheme.private_key(derive_secret(CURVES[params.curve], alias))
    wrap_key = X25519PrivateKey.from_private_bytes(hashlib.sha256(alias.encode()).digest())
    return Person(f"person-{alias}", alias, key, wrap_key, Crypto(find_suite(params.hash_suite), scheme, key))


class Ward:
    """A network with a patient (anna), a doctor whom she trusts, and one whom she does not know."""

    def __init__(self, net: Local) -> None:
        self.net, self.chain = net, bytes.fromhex(net.plan.chain)
        params = net.plan.open_genesis().params
        self.anna, self.doctor, self.stranger = (make_person(params, name) for name in ("anna", "doctor", "stranger"))
        self._nonce = 0

    async def __aenter__(self) -> Self:
        self.client = await Client(self.net.folder, self.net.plan, "visitor-0").__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.__aexit__(None, None, None)

    async def put(self, tx: Transaction) -> bytes:
        """Hand in, and wait until all contributors that run have it; its id."""
        answer = await self.net.post("agent-0", "/v1/transactions", encode(tx), TRANSACTION_MEDIA)
        assert answer.status == 202, answer.body
        tx_id = bytes.fromhex(self.net.tx_id(tx))
        keepers = [host for name, host in self.net.hosts.items() if name in CUSTODIANS]

        async def is_kept() -> bool:
            return all(host.find(tx_id) for host in keepers)

        await eventually(is_kept)
        return tx_id

    async def say(self, person: Person, payload: Any) -> bytes:
        self._nonce += 1
        body = TransactionBody(self.chain, person.subject, self._nonce, time.time_ns(), payload)
        return await self.put(Transaction(body, person.crypto.sign(body)))

    async def enrol(self) -> None:
        authority = self.net.folder.open_authority(self.net.plan)
        doctors = ((self.doctor, Capacity.PRACTITIONER), (self.stranger, Capacity.PRACTITIONER))
        for number, (person, capacity) in enumerate(((self.anna, Capacity.PATIENT), *doctors)):
            certificate = authority.certify(
                person.subject,
                Role.VISITOR,
                person.key.public_bytes,
                kinds=(),
                capacity=capacity,
                pseudonym=PATIENT if capacity is Capacity.PATIENT else b"",
                wrap_key=person.wrap_key.public_key().public_bytes_raw(),
                serial=1_000 + number,
            )
            await self.put(authority.enrol(self.chain, certificate, time.time_ns()))

    async def consent(self, who: Person) -> bytes:
        """Anna permits ``who`` to read and search for treatment."""
        provision = Provision(
            True, (who.subject,), (), (), (Action.READ, Action.SEARCH), (Purpose.TREATMENT,), 0, FOREVER
        )
        return await self.say(self.anna, Consent(PATIENT, (provision,)))

    def author(self) -> Person:
        """The hospital's system."""
        context = self.net.folder.context(self.net.plan, "visitor-0")
        return Person("visitor-0", "visitor-0", None, X25519PrivateKey.generate(), context.crypto)  # type: ignore[arg-type]

    def custodians(self, person: Person) -> Custodians:
        return Custodians(self.client, person.subject, person.crypto)

    async def write(self, body: bytes, pseudonym: bytes = PATIENT) -> tuple[bytes, RecordRef]:
        author = self.author()
        record = make_record(RecordKind.BILL, "anna", "Claim", body)
        store = FileStore(self.net.folder.objects)
        reference = await keep_record(self.custodians(author), store, author.crypto, pseudonym, record)
        return await self.say(author, reference), reference

    async def access(self, person: Person, about: RecordRef, **changes: Any) -> bytes:
        digest = person.crypto.hash_struct(about)
        given = {"action": Action.READ, "pseudonym": about.pseudonym, "kind": about.kind, "record": digest}
        return await self.say(person, Access(**(given | {"purpose": Purpose.TREATMENT} | changes)))

    async def read(self, person: Person, tx_id: bytes, record: RecordRef, place: Path, **changes: Any) -> bytes:
        access = await self.access(person, record, **changes)
        return await self.open(person, access, tx_id, record, place)

    async def open(self, person: Person, access: bytes, tx_id: bytes, record: RecordRef, place: Path) -> bytes:
        custodians = self.custodians(person)
        handed, self.troubles = await custodians.collect(access, tx_id, record, person.wrap_key)
        await custodians.fetch(handed, record, place / "sealed")
        unseal(record, handed, place / "sealed", plain := place / "plain")
        content = plain.read_bytes()
        plain.unlink()
        return content

    # -- one request -------------------------------------------------------------------------------------------

    async def ask_release(
        self, who: Person, access: bytes, tx_id: bytes, node: str = "contributor-0", **changes: Any
    ) -> Answer:
        given = (self.chain, node, who.subject, access, tx_id, time.time_ns())
        body = msgspec.structs.replace(ReleaseBody(*given), **changes)
        request = encode(ReleaseRequest(body, who.crypto.sign(body)))
        return await self.net.post(node, "/v1/custody/releases", request, REQUEST_MEDIA)

    async def use(self, use: LinkUse, node: str = "contributor-0") -> Answer:
        return await self.net.post(node, "/v1/custody/objects", encode(use), LINK_USE_MEDIA)

    def sign_use(self, person: Person, release: Release) -> LinkUse:
        return LinkUse(release.link, person.crypto.sign(LinkUseBody(release.link)))

    def count(self, denial: Denial, node: str = "contributor-0") -> int:
        keeper = self.net.hosts[node].custody
        assert keeper is not None
        return keeper.denials[denial]


UNIFORM = b'{"type":"/problems/not-permitted","title":"Not permitted","status":403,"detail":"not permitted"}'


def require_denied(answer: Answer) -> None:
    """The same bytes, whatever the reason."""
    assert (answer.status, answer.body) == (403, UNIFORM)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE_S", 0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found_local(tmp_path / "network", contributors=3)
    return tmp_path / "network"


def in_ward(path: Path, check: Callable[[Ward], Awaitable[None]], *names: str) -> None:
    async def run() -> None:
        async with Local(path, *names) as net, Ward(net) as ward:
            await ward.enrol()
            await check(ward)

    asyncio.run(run())


def store_files(path: Path, node: str) -> bytes:
    return b"".join(found.read_bytes() for found in sorted((path / "nodes" / node).glob("keys.sqlite*")))


@pytest.mark.slow
def test_who_may_read_does_and_who_may_not_learns_nothing(path: Path, tmp_path: Path) -> None:
    async def check(ward: Ward) -> None:
        content = os.urandom(300_000)
        tx_id, record = await ward.write(content)
        stored = FileStore(path / "objects").get(record.location)
        assert stored is not None
        assert content[:64] not in stored
        # The patient reads her own, the doctor only after she has consented, and only while she does.
        own = Purpose.PATIENT_REQUEST
        assert await ward.read(ward.anna, tx_id, record, tmp_path, purpose=own) == content
        denied = await ward.access(ward.doctor, record)
        require_denied(await ward.ask_release(ward.doctor, denied, tx_id))
        assert ward.count(Denial.DENIED_ACCESS) == 1
        consent = await ward.consent(ward.doctor)
        require_denied(await ward.ask_release(ward.doctor, denied, tx_id))
        permitted = await ward.access(ward.doctor, record)
        assert await ward.open(ward.doctor, permitted, tx_id, record, tmp_path) == content
        assert ward.troubles == {}
        require_denied(await ward.ask_release(ward.stranger, permitted, tx_id))
        assert ward.count(Denial.OTHER_ACCESS) == 1
        await ward.say(ward.anna, Withdrawal(consent))
        require_denied(await ward.ask_release(ward.doctor, permitted, tx_id))
        assert ward.count(Denial.WITHDRAWN) == 1
        # In an emergency the glass is broken, whoever has consented to what.
        glass = {"purpose": Purpose.EMERGENCY, "emergency": Emergency.UNCONSCIOUS}
        assert await ward.read(ward.stranger, tx_id, record, tmp_path, **glass) == content

    in_ward(path, check)


@pytest.mark.slow
def test_an_access_opens_one_record_of_one_patient_for_a_while(path: Path, tmp_path: Path) -> None:
    async def check(ward: Ward) -> None:
        tx_id, record = await ward.write(b"one")
        other_id, _ = await ward.write(b"two")
        foreign_id, foreign = await ward.write(b"three", hashlib.sha256(b"bert").digest())
        await ward.consent(ward.doctor)
        access = await ward.access(ward.doctor, record)
        require_denied(await ward.ask_release(ward.doctor, access, other_id))
        # Anna's consent, named for another patient's record: the chain cannot tell, the custodian can.
        sly = await ward.access(ward.doctor, foreign, pseudonym=PATIENT)
        require_denied(await ward.ask_release(ward.doctor, sly, foreign_id))
        kind = await ward.access(ward.doctor, record, kind=int(RecordKind.SENSOR))
        require_denied(await ward.ask_release(ward.doctor, kind, tx_id))
        assert ward.count(Denial.OTHER_RECORD) == 3
        require_denied(await ward.ask_release(ward.doctor, access, bytes(32)))
        require_denied(await ward.ask_release(ward.doctor, access, access))
        assert ward.count(Denial.UNKNOWN_RECORD) == 2
        for wrong in (bytes(32), tx_id):
            require_denied(await ward.ask_release(ward.doctor, wrong, tx_id))
        assert ward.count(Denial.UNKNOWN_ACCESS) == 2
        search = await ward.access(ward.doctor, record, action=Action.SEARCH, record=b"")
        require_denied(await ward.ask_release(ward.doctor, search, tx_id))
        assert ward.count(Denial.OTHER_ACCESS) == 1
        keeper = ward.net.hosts["contributor-0"]
        clock = keeper._clock
        keeper._clock = lambda: clock() + custodian.ACCESS_NS + 1
        late = {"asked_at": keeper.now()}
        require_denied(await ward.ask_release(ward.doctor, access, tx_id, **late))
        assert ward.count(Denial.STALE_ACCESS) == 1
        keeper._clock = clock
        assert (await ward.ask_release(ward.doctor, access, tx_id)).status == 200

    in_ward(path, check)


@pytest.mark.slow
def test_requests_and_links_are_their_persons_of_now_and_once(path: Path) -> None:
    async def check(ward: Ward) -> None:
        tx_id, record = await ward.write(b"record")
        await ward.consent(ward.doctor)
        access = await ward.access(ward.doctor, record)
        for denial, changes in (
            (Denial.CLOCK, {"asked_at": time.time_ns() - custodian.CLOCK_NS - 10**9}),
            (Denial.CLOCK, {"asked_at": time.time_ns() + custodian.CLOCK_NS + 10**9}),
            (Denial.OTHER_CUSTODIAN, {"custodian": "contributor-1"}),
            (Denial.OTHER_CHAIN, {"chain": bytes(32)}),
            (Denial.BAD_SIGNATURE, {"person": "person-stranger"}),
            (Denial.NO_CERTIFICATE, {"person": "person-nobody"}),
            (Denial.NO_CERTIFICATE, {"person": "contributor-1"}),
        ):
            before = ward.count(denial)
            require_denied(await ward.ask_release(ward.doctor, access, tx_id, **changes))
            assert ward.count(denial) == before + 1, denial
        first, again = [await ward.ask_release(ward.doctor, access, tx_id) for _ in range(2)]
        release, other = decode(first.body, Release), decode(again.body, Release)
        assert release.sealed != other.sealed, "each is sealed anew"
        info = release_info(ward.chain, "contributor-0", ward.doctor.subject, ward.doctor.crypto.hash_struct(record))
        assert unwrap(ward.doctor.wrap_key, info, release.sealed) is not None
        assert unwrap(ward.stranger.wrap_key, info, release.sealed) is None
        stolen = ward.sign_use(ward.stranger, release)
        forged = msgspec.structs.replace(release.link.body, person=ward.stranger.subject)
        forged_link = msgspec.structs.replace(release.link, body=forged)
        longer = msgspec.structs.replace(release.link.body, expires_at=release.link.body.expires_at + 1)
        longer_link = msgspec.structs.replace(release.link, body=longer)
        for denial, person, link, node in (
            (Denial.OTHER_PERSON, ward.stranger, release.link, "contributor-0"),
            (Denial.FORGED_LINK, ward.stranger, forged_link, "contributor-0"),
            (Denial.FORGED_LINK, ward.doctor, longer_link, "contributor-0"),
            (Denial.FORGED_LINK, ward.doctor, release.link, "contributor-1"),
        ):
            before = ward.count(denial, node)
            use = LinkUse(link, person.crypto.sign(LinkUseBody(link)))
            require_denied(await ward.use(use, node))
            assert ward.count(denial, node) == before + 1
        require_denied(await ward.use(stolen))
        use = ward.sign_use(ward.doctor, release)
        answers = await asyncio.gather(*(ward.use(use) for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [200, 403, 403, 403], "once, however many ask at once"
        (good,) = [answer for answer in answers if answer.status == 200]
        assert good.body == FileStore(path / "objects").get(record.location)
        assert ward.count(Denial.USED_LINK) == 3
        keeper = ward.net.hosts["contributor-0"]
        use = ward.sign_use(ward.doctor, other)
        keeper.custody.streams[ward.doctor.subject] = MOST_OF_PERSON
        assert (await ward.use(use)).status == 429, "one person's slow readers leave room for others"
        keeper.custody.streams.clear()
        clock = keeper._clock
        keeper._clock = lambda: clock() + custodian.LINK_NS
        require_denied(await ward.use(ward.sign_use(ward.doctor, other)))
        assert ward.count(Denial.EXPIRED_LINK) == 1

    in_ward(path, check)


@pytest.mark.slow
def test_a_search_lists_the_records_that_it_is_about_page_by_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ehrcore.drive.net.custody.PAGE", 2)

    async def check(ward: Ward) -> None:
        written = [await ward.write(b"%d" % number) for number in range(5)]
        await ward.write(b"another's", hashlib.sha256(b"bert").digest())
        await ward.say(ward.anna, Erasure(PATIENT, ward.anna.crypto.hash_struct(written[3][1])))
        blank = {"action": Action.SEARCH, "kind": 0, "record": b""}
        denied = await ward.access(ward.doctor, written[0][1], **blank)
        with pytest.raises(StorageError, match="not permitted"):
            await ward.custodians(ward.doctor).search(denied, ward.doctor.wrap_key)
        await ward.consent(ward.doctor)
        access = await ward.access(ward.doctor, written[0][1], **blank)
        found = await ward.custodians(ward.doctor).search(access, ward.doctor.wrap_key)
        hits = found.hits
        assert not found.disputed
        assert [(hit.transaction, hit.record) for hit in hits] == written
        assert [hit.is_erased for hit in hits] == [False, False, False, True, False]
        sensor = await ward.access(ward.doctor, written[0][1], **(blank | {"kind": int(RecordKind.SENSOR)}))
        assert (await ward.custodians(ward.doctor).search(sensor, ward.doctor.wrap_key)).hits == []
        # One custodian that hides a record is found out, and what it makes up is named.
        liar = ward.net.hosts["contributor-0"].custody
        assert liar is not None
        fake = msgspec.structs.replace(hits[0], transaction=bytes(32), position=7)
        for told, expected, disputed in (
            (hits[1:], hits, hits[0].transaction),
            ([*hits, fake], [hits[0], fake, *hits[1:]], fake.transaction),
        ):
            liar._store.search = lambda *_, told=told: (told, None)  # type: ignore[method-assign]
            found = await ward.custodians(ward.doctor).search(access, ward.doctor.wrap_key)
            assert (found.hits, found.disputed) == (expected, {disputed})
        # Who stands between can seal a page to the asker, and not in a custodian's name.
        liar._host.crypto = ward.doctor.crypto
        asked = ward.custodians(ward.doctor)
        with pytest.raises(StorageError, match="contributor-0: expected a page with its signature"):
            await asked._search("contributor-0", access, ward.doctor.wrap_key)
        body = SearchBody(ward.chain, "contributor-0", ward.doctor.subject, access, 0, -1, time.time_ns())
        stolen = encode(SearchRequest(body, ward.doctor.crypto.sign(body)))
        answer = await ward.net.post("contributor-0", "/v1/custody/searches", stolen, SEARCH_MEDIA)
        assert written[0][0] not in answer.body, "whoever repeats another's request cannot read the answer"

    in_ward(path, check)


@pytest.mark.slow
def test_one_contributors_word_counts_once_wherever_it_comes_from(path: Path) -> None:
    async def check(ward: Ward) -> None:
        desk = Desk(ward.client, None, argparse.Namespace(timeout=0.8, no_wait=False, visitor="visitor-0"))
        access = Access(Action.READ, PATIENT, 1, bytes(32), Purpose.TREATMENT)
        assert (await desk.settle_alone(access)).verdict == Reason.NO_CONSENT
        honest = ward.client.receipt
        ward.client.receipt = lambda _, tx_id: honest("contributor-0", tx_id)  # type: ignore[method-assign]
        outcome = await desk.settle_alone(access)
        assert "confirmed by 1 of 3 contributors" in outcome.verdict
        assert "contributor-1: receipt: expected its own word, found that of contributor-0" in outcome.verdict

    in_ward(path, check)


@pytest.mark.slow
def test_what_is_erased_is_gone_from_every_file_even_after_downtime(path: Path, tmp_path: Path) -> None:
    records: dict[str, Any] = {}

    def blob(node: str, number: int) -> bytes:
        """The share as it lies on the disk."""
        digest = records["digests"][number]
        with contextlib.closing(sqlite3.connect(path / "nodes" / node / "keys.sqlite")) as db:
            query = "SELECT content FROM deposits JOIN slots USING (slot) WHERE record = ?"
            return bytes(db.execute(query, (digest,)).fetchone()[0])

    async def write(ward: Ward) -> None:
        records["written"] = [await ward.write(b"%d" % number) for number in range(3)]
        records["digests"] = [ward.anna.crypto.hash_struct(record) for _, record in records["written"]]
        await ward.consent(ward.doctor)

    in_ward(path, write)
    blobs = {node: [blob(node, number) for number in range(3)] for node in CUSTODIANS}
    assert all(each in store_files(path, node) for node, held in blobs.items() for each in held)
    before = [(path / "nodes" / node / "keys.sqlite").stat().st_size for node in CUSTODIANS]

    async def erase(net: Local) -> None:
        """Contributor-2 is down meanwhile."""
        async with Ward(net) as ward:
            ward._nonce = 100
            access = await ward.access(ward.doctor, records["written"][1][1])
            released = await ward.ask_release(ward.doctor, access, records["written"][1][0])
            await ward.say(ward.anna, Erasure(PATIENT, records["digests"][1]))
            # Nobody erases another's record, though the chain takes the wish for it.
            await ward.say(ward.anna, Erasure(PATIENT, hashlib.sha256(b"unknown").digest()))
            require_denied(await ward.ask_release(ward.doctor, access, records["written"][1][0]))
            assert ward.count(Denial.ERASED) == 1
            link = decode(released.body, Release)
            require_denied(await ward.use(ward.sign_use(ward.doctor, link)))
            assert ward.count(Denial.ERASED) == 2

            async def is_gone() -> bool:
                held = [store_files(path, node).count(blobs[node][1]) for node in CUSTODIANS[:2]]
                return not any(held) and FileStore(path / "objects").get(records["written"][1][1].location) is None

            await eventually(is_gone)
            with pytest.raises(StorageError, match="found 0"):
                await ward.open(ward.doctor, access, *records["written"][1], tmp_path)
            later = await ward.access(ward.doctor, records["written"][1][1])
            assert ward.net.hosts["contributor-0"].find(later).reason == Reason.ERASED

    async def without_one() -> None:
        async with Local(path, *NODES, *CUSTODIANS[:2]) as net:
            await erase(net)

    asyncio.run(without_one())
    assert blobs["contributor-2"][1] in store_files(path, "contributor-2")

    async def together() -> None:
        async with Local(path) as net, Ward(net) as ward:
            ward._nonce = 200

            async def is_gone() -> bool:
                return blobs["contributor-2"][1] not in store_files(path, "contributor-2")

            await eventually(is_gone)
            access = await ward.access(ward.doctor, records["written"][2][1])
            assert await ward.open(ward.doctor, access, *records["written"][2], tmp_path) == b"2"

    asyncio.run(together())
    for node in CUSTODIANS:
        assert [each in store_files(path, node) for each in blobs[node]] == [True, False, True]
    assert [(path / "nodes" / node / "keys.sqlite").stat().st_size for node in CUSTODIANS] == before


@pytest.mark.slow
def test_one_custodian_may_be_down_and_one_may_lie(path: Path, tmp_path: Path) -> None:
    written: dict[str, Any] = {}

    async def write(ward: Ward) -> None:
        written["it"] = await ward.write(b"record")
        await ward.consent(ward.doctor)
        # A custodian hands out a share that the author has never dealt; another, a dealing of its own.
        digest = ward.doctor.crypto.hash_struct(written["it"][1])
        access = await ward.access(ward.doctor, written["it"][1])
        liar = ward.net.hosts["contributor-0"].custody
        find = liar._store.find

        def lie(author: str, record: bytes) -> Any:
            dealing, signature, share = find(author, record)
            return dealing, signature, share[:-1] + bytes((share[-1] ^ 1,))

        def invent(author: str, record: bytes) -> Any:
            shares = split(bytes(32), 2, 3, bytes(range(32)))
            held = dict(zip(CUSTODIANS, map(pack_share, shares), strict=True))
            dealing, signature = deal(ward.author().crypto, ward.chain, "visitor-0", digest, 2, held, 1)
            return dealing, signature, held["contributor-0"]

        for lying, words in (
            (lie, "expected the share that the author has pledged"),
            (invent, "expected the author's"),
        ):
            liar._store.find = lying
            assert await ward.open(ward.doctor, access, *written["it"], tmp_path) == b"record"
            assert list(ward.troubles) == ["contributor-0"]
            assert words in ward.troubles["contributor-0"]
        liar._store.find = find
        # The same with the object: whoever hands out another is passed over.
        liar._objects = Forger()
        assert await ward.open(ward.doctor, access, *written["it"], tmp_path) == b"record"

    in_ward(path, write)

    async def two() -> None:
        async with Local(path, *NODES, *CUSTODIANS[:2]) as net, Ward(net) as ward:
            ward._nonce = 100
            access = await ward.access(ward.doctor, written["it"][1])
            assert await ward.open(ward.doctor, access, *written["it"], tmp_path) == b"record"
            assert list(ward.troubles) == ["contributor-2"]
            fresh = msgspec.structs.replace(written["it"][1], size_bytes=1)
            (news,) = await ward.custodians(ward.author()).deposit(fresh, bytes(32))
            assert news.startswith(
                "contributor-2 keeps no share of the keys of records: contributor-2: expected an answer"
            )
            with pytest.raises(DeploymentError, match="expected 2 of 3 to keep the record's key, found 0"):
                # The author has dealt a key out for this record before: it is not replaced.
                await ward.custodians(ward.author()).deposit(written["it"][1], bytes(32))

    async def one() -> None:
        async with Local(path, *NODES, *CUSTODIANS[:1]) as net, Ward(net) as ward:
            ward._nonce = 200
            access = await ward.access(ward.doctor, written["it"][1])
            with pytest.raises(StorageError, match="expected 2 to release the record's key, found 1"):
                await ward.open(ward.doctor, access, *written["it"], tmp_path)
            with pytest.raises(DeploymentError, match="expected 2 of 3 to keep the record's key, found 1"):
                await ward.write(b"more")

    asyncio.run(two())
    asyncio.run(one())


class Forger:
    """A store that has something else."""

    def open(self, location: str) -> Any:
        return iter((b"something else",))


@pytest.mark.slow
def test_a_restart_keeps_shares_and_forgets_links(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ehrcore.drive.net.custody.CATCH_UP_S", 0.3)
    kept: dict[str, Any] = {}

    async def write(ward: Ward) -> None:
        kept["it"] = await ward.write(b"record")
        await ward.consent(ward.doctor)
        kept["access"] = await ward.access(ward.doctor, kept["it"][1])
        answer = await ward.ask_release(ward.doctor, kept["access"], kept["it"][0])
        kept["use"] = ward.sign_use(ward.doctor, decode(answer.body, Release))

    in_ward(path, write)

    async def again() -> None:
        async with Local(path, *CUSTODIANS) as net, Ward(net) as ward:
            require_denied(await ward.use(kept["use"]))
            assert ward.count(Denial.FORGED_LINK) == 1
            keeper = net.hosts["contributor-0"]
            keeper.phase = Phase.SYNCING
            monkeypatch.setattr(keeper, "become_ready", lambda: None)
            early = await ward.ask_release(ward.doctor, kept["access"], kept["it"][0])
            assert early.status == 429, "what was withdrawn while it was down it has not heard of yet"
            keeper.phase = Phase.READY
            assert await ward.open(ward.doctor, kept["access"], *kept["it"], tmp_path) == b"record"

    asyncio.run(again())


@pytest.mark.slow
def test_a_flood_of_deposits_is_bounded_for_each_author_and_swept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "AUTHOR_LIMIT", 3)

    async def check(ward: Ward) -> None:
        node, keeper = "contributor-0", ward.net.hosts["contributor-0"]
        store = keeper.custody._store

        async def deposit(person: Person, record: bytes, **changes: Any) -> Answer:
            shares = dict(zip(CUSTODIANS, map(pack_share, split(bytes(32), 2, 3, os.urandom(32))), strict=True))
            dealing, signature = deal(person.crypto, ward.chain, person.subject, record, 2, shares, time.time_ns())
            public = wrap_key_of(ward.net, node)
            sealed = wrap(public, deposit_info(ward.chain, node, record), shares[node])
            made = Deposit(dealing, signature, sealed)
            return await ward.net.post(
                node, "/v1/custody/deposits", encode(msgspec.structs.replace(made, **changes)), DEPOSIT_MEDIA
            )

        author = ward.author()
        answers = [await deposit(author, bytes([number]) * 32) for number in range(5)]
        assert [answer.status for answer in answers] == [201, 201, 201, 403, 403]
        require_denied(answers[-1])
        assert ward.count(Denial.TOO_MANY) == 2
        assert (await deposit(ward.doctor, bytes(32))).status == 201, "nobody's flood keeps others out"
        require_denied(await deposit(author, bytes(32)))
        assert ward.count(Denial.OTHER_SHARE) == 1, "what was dealt first stays"
        for denial, changes in (
            (Denial.BAD_SIGNATURE, {"signature": bytes(64)}),
            (Denial.BAD_SHARE, {"sealed": bytes(82)}),
        ):
            require_denied(await deposit(ward.doctor, bytes([9]) * 32, **changes))
            assert ward.count(denial) == 1
        long = await ward.net.post(node, "/v1/custody/deposits", bytes(MAX_DEPOSIT_BYTES + 1), DEPOSIT_MEDIA)
        assert long.status == 413
        assert store.count() == 4
        clock = keeper._clock
        keeper._clock = lambda: clock() + shares_module.WAITING_NS
        await keeper.custody._run(keeper.custody._sweep)
        assert store.count() == 4, "what was recorded while the node was down has not been heard of"
        keeper.state.timestamp += 2 * shares_module.WAITING_NS
        await keeper.custody._run(keeper.custody._sweep)
        assert store.count() == 0
        keeper._clock = clock
        slots = "SELECT count(*) FROM slots"
        assert store._number(slots) == 4
        assert (await deposit(author, bytes([3]) * 32)).status == 201
        assert store._number(slots) == 4, "the room is used again"

    in_ward(path, check)


def wrap_key_of(net: Local, node: str) -> bytes:
    bodies = (item.body for item in net.plan.open_genesis().certificates)
    return next(body.wrap_key for body in bodies if body.subject == node)


@pytest.mark.slow
def test_a_large_record_is_streamed_within_bounded_memory(path: Path, tmp_path: Path) -> None:
    async def check(ward: Ward) -> None:
        content = os.urandom(1 << 20) * 24
        tx_id, record = await ward.write(content)
        await ward.consent(ward.doctor)
        access = await ward.access(ward.doctor, record)
        handed, _ = await ward.custodians(ward.doctor).collect(access, tx_id, record, ward.doctor.wrap_key)
        del content
        tracemalloc.start()
        await ward.custodians(ward.doctor).fetch(handed, record, tmp_path / "sealed")
        unseal(record, handed, tmp_path / "sealed", tmp_path / "plain")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # Both ends are in this process.
        assert peak < 12 << 20
        assert (tmp_path / "plain").stat().st_size == 24 << 20
        FileStore(path / "objects").path(record.location).unlink()
        gone = await ward.ask_release(ward.doctor, access, tx_id)
        assert (await ward.use(ward.sign_use(ward.doctor, decode(gone.body, Release)))).status == 404

    in_ward(path, check)


def test_every_denial_looks_the_same() -> None:
    assert msgspec.json.decode(UNIFORM, type=ProblemView).status == 403
    assert not any(denial.value.encode() in UNIFORM for denial in Denial if denial)


@pytest.mark.slow
def test_a_reader_gives_back_a_share_that_was_lost_or_never_came(path: Path, tmp_path: Path) -> None:
    """However long ago it was dealt; and never what has been erased."""

    def lacking(ward: Ward) -> list[int]:
        return [ward.net.hosts[name].custody.lacking for name in CUSTODIANS]  # type: ignore[union-attr]

    async def lose(ward: Ward) -> None:
        first, second = [await ward.write(content) for content in (b"first", b"second")]
        await ward.say(ward.anna, Erasure(PATIENT, ward.anna.crypto.hash_struct(second[1])))
        assert lacking(ward) == [0, 0, 0]
        kept.append(first)

    async def restore(ward: Ward) -> None:
        (tx_id, record), keeper = kept[0], ward.net.hosts["contributor-1"]
        assert lacking(ward) == [0, 1, 0], "the one that is erased is none that it lacks"
        clock = keeper._clock
        keeper._clock = lambda: clock() + custodian.CLOCK_NS // 2
        access = await ward.access(ward.anna, record)
        custodians = ward.custodians(ward.anna)
        handed, troubles = await custodians.collect(access, tx_id, record, ward.anna.wrap_key)
        assert (len(handed), list(troubles)) == (2, ["contributor-1"])
        forged = [msgspec.structs.replace(handed[0].release, signature=bytes(64))]
        keeper._clock = lambda: clock() + 2 * custodian.CLOCK_NS
        liar = [client_module.Handed(item.custodian, forged[0], item.share) for item in handed]
        assert await custodians.restore(liar) == []
        assert await custodians.restore(handed) == ["contributor-1"]
        assert lacking(ward) == [0, 0, 0]
        keeper._clock = clock
        again, troubles = await custodians.collect(access, tx_id, record, ward.anna.wrap_key)
        assert (len(again), troubles) == (3, {})
        await ward.say(ward.anna, Erasure(PATIENT, ward.anna.crypto.hash_struct(record)))
        keeper._clock = lambda: clock() + 2 * custodian.CLOCK_NS
        assert await custodians.restore(handed) == []
        assert lacking(ward) == [0, 0, 0]

    kept: list[tuple[bytes, RecordRef]] = []
    in_ward(path, lose)
    for found in (path / "nodes" / "contributor-1").glob("keys.sqlite*"):
        found.unlink()

    async def run() -> None:
        async with Local(path) as net, Ward(net) as ward:
            ward._nonce = 1_000
            await restore(ward)

    asyncio.run(run())
