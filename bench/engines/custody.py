"""Engine `custody`: attacks on records' keys, links and shares, over real HTTP, with each protection and without.

All are told the same in words and length when they are denied; the reason in a row is the custodian's own count
(`ehrcore.custody.Denial`).  A weakened variant replaces one function of the product while an attack is played.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bench.engines.base import Context
from bench.engines.custody_stage import (
    BELIEVED,
    CREATED,
    KEPT,
    LIMIT,
    NO_JUDGING,
    NO_LIMIT,
    NO_PLEDGES,
    OK,
    REPLACED,
    Stage,
    weaken,
)
from bench.engines.impostor import FULL
from bench.experiments.attacks import Expected, Tally, check_attacks
from bench.experiments.base import Case, Row
from bench.net.ward import OTHER_PATIENT, PATIENT, eventually, open_ward
from ehrcore import custodian
from ehrcore.block import RecordRef
from ehrcore.codec import decode, encode
from ehrcore.consent import Action, Emergency, Erasure, Purpose, Withdrawal
from ehrcore.custody import (
    Deposit,
    Link,
    LinkUse,
    LinkUseBody,
    Release,
    SearchBody,
    SearchRequest,
    SignedPage,
    deal,
    deposit_info,
    pack_share,
    search_info,
    unpack_share,
)
from ehrcore.drive.net import custody as keepers
from ehrcore.drive.net.client import Answer
from ehrcore.drive.net.custodians import Custodians
from ehrcore.drive.net.persons import Person
from ehrcore.drive.net.share_file import KEY_FILE, KEYS_FILE
from ehrcore.drive.net.web.custody import DEPOSIT_MEDIA, LINK_USE_MEDIA, SEARCH_MEDIA
from ehrcore.drive.net.wrapping import unwrap, wrap
from ehrcore.errors import StorageError
from ehrcore.sealing import open_sealed, record_context
from ehrcore.sharing import join, split

Play = Callable[[Stage], Coroutine[Any, Any, None]]
_GOES: Final = 16


class Attack(NamedTuple):
    """One attack: ``play`` makes its tries, ``beaten`` are the protections without which it has to succeed."""

    name: str
    variant: str
    play: Play
    beaten: str = ""


def run_custody(context: Context, case: Case) -> list[Row]:
    """Every attack under all protections, and under the one whose loss it is about.  No settings."""
    del case
    scenario = context.scenario
    log = logging.getLogger(keepers.__name__)
    log.disabled = True  # what it warns of is counted here
    try:
        with context.scratch() as scratch:
            rows = asyncio.run(_play(scratch, scenario.curve, f"{scenario.seed}|custody"))
    finally:
        log.disabled = False
    return check_attacks([{**row, "group": "custody"} for row in rows])


async def _play(folder: Path, curve: str, label: str) -> list[Row]:
    async with open_ward(folder / "network", curve, label) as ward:
        tx_id, record = await ward.write(b"what Anna has")
        await ward.consent(ward.doctor)
        control = Tally("read a record (control)", "who may", FULL, "succeeds")
        stage = Stage(ward, folder, tx_id, record, await ward.access(ward.doctor, record), control)
        await _read(stage)
        rows = [control.row()]
        for attack in ATTACKS:
            for protection in filter(None, (FULL, attack.beaten)):
                expected: Expected = "refused" if protection == FULL else "succeeds"
                tally = Tally(attack.name, attack.variant, protection, expected)
                with weaken(protection):
                    await attack.play(replace(stage, tally=tally))
                rows.append(tally.row())
        return rows


async def _read(stage: Stage) -> None:
    """Who may read does: the doctor by consent, the patient her own, a physician who breaks the glass."""
    ward = stage.ward
    glass = {"purpose": Purpose.EMERGENCY, "emergency": Emergency.UNCONSCIOUS}
    for person, given in ((ward.doctor, {}), (ward.anna, {"purpose": Purpose.PATIENT_REQUEST}), (ward.stranger, glass)):
        access = await ward.access(person, stage.record, **given)
        stage.tally.add(await stage.read(person, access, b"what Anna has"))


# -- release -----------------------------------------------------------------------------------------------------------


async def _denied(stage: Stage) -> None:
    stranger = stage.ward.stranger
    await stage.ask(stranger, await stage.ward.access(stranger, stage.record))


async def _of_another(stage: Stage) -> None:
    await stage.ask(stage.ward.stranger, stage.access)


async def _of_another_patient(stage: Stage) -> None:
    """Anna's consent, named for another patient's record: the chain cannot tell."""
    ward = stage.ward
    written = await ward.write(b"what Bert has", OTHER_PATIENT)
    await stage.ask(ward.doctor, await ward.access(ward.doctor, written[1], pseudonym=PATIENT), written)


async def _withdrawn(stage: Stage) -> None:
    ward = stage.ward
    consent = await ward.consent(ward.stranger)
    access = await ward.access(ward.stranger, stage.record)
    await ward.say(ward.anna, Withdrawal(consent))
    await stage.ask(ward.stranger, access)


async def _stale(stage: Stage) -> None:
    with stage.later(custodian.ACCESS_NS + 1) as now:
        await stage.ask(stage.ward.doctor, stage.access, asked_at=now())


async def _in_a_name(stage: Stage) -> None:
    """The doctor's name under the stranger's signature, for another custodian, for another chain, of long ago."""
    ward = stage.ward
    for who, changes in (
        (ward.stranger, {"person": ward.doctor.subject}),
        (ward.doctor, {"custodian": ward.custodians[1]}),
        (ward.doctor, {"chain": bytes(32)}),
        (ward.doctor, {"asked_at": time.time_ns() - custodian.CLOCK_NS - 10**9}),
        (ward.doctor, {"person": "person-nobody"}),
    ):
        await stage.ask(who, stage.access, **changes)


async def _overheard(stage: Stage) -> None:
    """The stranger repeats the doctor's request word for word, and gets an answer that is sealed to the doctor."""
    ward = stage.ward
    asking = ward.ask(ward.doctor, stage.access, stage.tx_id)
    await stage.count(asking, stage.opens(ward.stranger, stage.record))


async def _permit_search(stage: Stage, who: Person) -> bytes:
    return await stage.ward.access(who, stage.record, action=Action.SEARCH, kind=0, record=b"")


async def _search(stage: Stage) -> None:
    ward, node = stage.ward, stage.node
    access = await _permit_search(stage, ward.stranger)
    body = SearchBody(ward.chain, node, ward.stranger.subject, access, 0, -1, time.time_ns())
    request = encode(SearchRequest(body, ward.stranger.crypto.sign(body)))
    asking = ward.client.request(node, "/v1/custody/searches", request, media=SEARCH_MEDIA)

    def wins(answer: Answer) -> bool:
        content = unwrap(ward.stranger.wrap_key, search_info(body), answer.body) if answer.status == OK else None
        return content is not None and bool(decode(content, SignedPage).page.hits)

    await stage.count(asking, wins)


# -- links -------------------------------------------------------------------------------------------------------------


async def _link(stage: Stage) -> Link:
    answer = await stage.ward.ask(stage.ward.doctor, stage.access, stage.tx_id)
    return decode(answer.body, Release).link


async def _use(stage: Stage, who: Person, link: Link, node: str = "") -> None:
    body = encode(LinkUse(link, who.crypto.sign(LinkUseBody(link))))
    sealed = stage.ward.store.get(stage.record.location)
    asking = stage.ward.client.request(node or stage.node, "/v1/custody/objects", body, media=LINK_USE_MEDIA)
    await stage.count(asking, lambda answer: answer.status == OK and answer.body == sealed, node)


async def _stolen(stage: Stage) -> None:
    await _use(stage, stage.ward.stranger, await _link(stage))


async def _used(stage: Stage) -> None:
    link, first = await _link(stage), replace(stage, tally=Tally("", "", "", "succeeds"))
    await _use(first, stage.ward.doctor, link)
    if not first.tally.succeeded:
        raise AssertionError("expected a link that is good once")
    for _ in range(2):
        await _use(stage, stage.ward.doctor, link)


async def _expired(stage: Stage) -> None:
    link = await _link(stage)
    with stage.later(custodian.LINK_NS):
        await _use(stage, stage.ward.doctor, link)


async def _forged(stage: Stage) -> None:
    """For another person, for longer, to another custodian."""
    ward, link = stage.ward, await _link(stage)
    mine = msgspec.structs.replace(link.body, person=ward.stranger.subject)
    longer = msgspec.structs.replace(link.body, expires_at=link.body.expires_at + 1)
    await _use(stage, ward.stranger, msgspec.structs.replace(link, body=mine))
    await _use(stage, ward.doctor, msgspec.structs.replace(link, body=longer))
    await _use(stage, ward.doctor, link, ward.custodians[1])


# -- shares ------------------------------------------------------------------------------------------------------------


async def _lie(stage: Stage, lie: Callable[[tuple[Any, bytes, bytes]], tuple[Any, bytes, bytes]]) -> None:
    """One custodian hands out something else; the doctor reads, and reads right."""
    store = stage.store_of(stage.node)
    find = store.find
    store.find = lambda author, record: lie(find(author, record))
    try:
        # A reader joins the two shares that come first: where a lie may get past, chance gets more than one go.
        for _ in range(1 if stage.tally.protection == FULL else _GOES):
            found = await stage.read(stage.ward.doctor, stage.access, b"what Anna has")
            if found:
                break
    finally:
        del store.find
    told = stage.ward.troubles.get(stage.node, "")
    stage.tally.add(None if found else f"reader: {told.partition(', found')[0].removeprefix('expected ')}")


async def _altered_share(stage: Stage) -> None:
    await _lie(stage, lambda kept: (*kept[:2], kept[2][:-1] + bytes((kept[2][-1] ^ 1,))))


async def _own_dealing(stage: Stage) -> None:
    ward = stage.ward
    dealt = _deal(stage)
    digest = ward.author.crypto.hash_struct(stage.record)
    dealing, signature = deal(ward.author.crypto, ward.chain, ward.author.subject, digest, 2, dealt, 1)
    await _lie(stage, lambda _: (dealing, signature, dealt[ward.custodians[0]]))


async def _hidden(stage: Stage) -> None:
    """One custodian leaves a record out of what a search finds."""
    ward, store = stage.ward, stage.store_of(stage.node)
    access = await _permit_search(stage, ward.doctor)
    store.search = lambda *_: ([], None)
    try:
        reader = Custodians(ward.client, ward.doctor.subject, ward.doctor.crypto)
        listing = await reader.search(access, ward.doctor.wrap_key)
    finally:
        del store.search
    is_listed = stage.tx_id in {hit.transaction for hit in listing.hits}
    stage.tally.add("reader: the other custodians' lists" if is_listed else None)


def _deal(stage: Stage) -> dict[str, bytes]:
    """Shares of a key of the attacker's choice."""
    return dict(zip(stage.ward.custodians, map(pack_share, split(bytes(32), 2, 3, os.urandom(32))), strict=True))


async def _deposit(stage: Stage, who: Person, record: bytes, **changes: Any) -> list[tuple[str, bytes]]:
    """A dealing of a key of the attacker's choice: by custodian, the request."""
    ward, dealt = stage.ward, _deal(stage)
    name = changes.pop("author", who.subject)
    dealing, signature = deal(who.crypto, ward.chain, name, record, 2, dealt, time.time_ns())
    keys = {item.body.subject: item.body.wrap_key for item in ward.plan.open_genesis().certificates}
    return [
        (node, encode(Deposit(dealing, signature, wrap(keys[node], deposit_info(ward.chain, node, record), share))))
        for node, share in dealt.items()
    ]


async def _hand_in(stage: Stage, node: str, body: bytes) -> None:
    asking = stage.ward.client.request(node, "/v1/custody/deposits", body, media=DEPOSIT_MEDIA)
    await stage.count(asking, lambda answer: answer.status == CREATED, node)


async def _overwrite(stage: Stage) -> None:
    """Who has the author's key deals another key out for a record that is there: nobody could ever read it again."""
    written = await stage.ward.write(b"to be lost")
    digest = stage.ward.author.crypto.hash_struct(written[1])
    for node, body in await _deposit(stage, stage.ward.author, digest):
        await _hand_in(stage, node, body)
    if stage.tally.protection == FULL:
        access = await stage.ward.access(stage.ward.doctor, written[1])
        if await stage.read(stage.ward.doctor, access, b"to be lost", written):
            raise AssertionError("expected a record that is read as before")


async def _in_an_authors_name(stage: Stage) -> None:
    author = stage.ward.author.subject
    for node, body in await _deposit(stage, stage.ward.stranger, os.urandom(32), author=author):
        await _hand_in(stage, node, body)


async def _flood(stage: Stage) -> None:
    """Deposits for records that never come onto the chain; what comes within the limit is the author's to do."""
    node, free = stage.node, replace(stage, tally=Tally("", "", "", "succeeds"))
    for _ in range(LIMIT + 5):
        body = dict(await _deposit(stage, stage.ward.doctor, os.urandom(32)))[node]
        waiting = stage.store_of(node).count_waiting(stage.ward.doctor.subject)
        await _hand_in(stage if waiting >= LIMIT else free, node, body)


# -- erasure -----------------------------------------------------------------------------------------------------------


async def _erased(stage: Stage) -> None:
    """A release before and after, a link from before; then the disks of all custodians, with a copy of the object."""
    ward = stage.ward
    tx_id, record = written = await ward.write(b"to be forgotten")
    copy, digest = ward.store.get(record.location) or b"", ward.author.crypto.hash_struct(record)
    access = await ward.access(ward.doctor, record)
    link = decode((await ward.ask(ward.doctor, access, tx_id)).body, Release).link
    await ward.say(ward.anna, Erasure(PATIENT, digest))
    if stage.tally.variant == "ask again":
        await stage.ask(ward.doctor, access, written)
        await _use(stage, ward.doctor, link)
        await stage.ask(ward.doctor, await ward.access(ward.doctor, record), written)
        return
    stores = [stage.store_of(node) for node in ward.custodians]
    await eventually(lambda: all(store.find(ward.author.subject, digest) is None for store in stores))
    stage.tally.add(_steal_disks(stage, record, digest, copy))


def _steal_disks(stage: Stage, record: RecordRef, digest: bytes, copy: bytes) -> str | None:
    """None if all that lies on the custodians' disks, with the sealed object from before, gives the record."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    ward, found = stage.ward, []
    for node in ward.custodians:
        home, loot = ward.folder.node(node), stage.folder / "loot"
        shutil.rmtree(loot, ignore_errors=True)
        loot.mkdir()
        for path in home.glob(f"{KEYS_FILE}*"):
            shutil.copy(path, loot)
        aead = AESGCM(bytes.fromhex((home / KEY_FILE).read_text()))
        owner = encode((ward.chain, node, ward.author.subject, digest))
        with contextlib.closing(sqlite3.connect(loot / KEYS_FILE)) as db:
            slots = [bytes(content) for (content,) in db.execute("SELECT content FROM slots")]
        for slot in slots:
            with contextlib.suppress(InvalidTag):
                found.append(unpack_share(aead.decrypt(slot[:12], slot[12:], owner)))
    try:
        open_sealed(join(found), record_context(record.kind, record.pseudonym), copy)
    except (StorageError, ValueError, IndexError):
        return f"disks: {len(found)} of {len(ward.custodians)} shares left"
    return None


ATTACKS: Final = (
    Attack("release without permission", "the chain has denied it", _denied, NO_JUDGING),
    Attack("release without permission", "by another's access", _of_another, NO_JUDGING),
    Attack("release without permission", "another patient's record", _of_another_patient, NO_JUDGING),
    Attack("release without permission", "consent withdrawn since", _withdrawn, NO_JUDGING),
    Attack("release without permission", "an access of long ago", _stale, NO_JUDGING),
    Attack("search without permission", "the chain has denied it", _search, NO_JUDGING),
    Attack("false request", "name, custodian, chain, time", _in_a_name),
    Attack("overheard request", "repeated by another", _overheard),
    Attack("stolen link", "shown by another", _stolen, BELIEVED),
    Attack("replayed link", "by its person", _used, BELIEVED),
    Attack("expired link", "by its person", _expired, BELIEVED),
    Attack("forged link", "person, time, custodian", _forged, BELIEVED),
    Attack("false share", "one bit of it", _altered_share, NO_PLEDGES),
    Attack("false share", "of another dealing", _own_dealing),
    Attack("false list", "without a record", _hidden),
    Attack("overwritten deposit", "with the author's key", _overwrite, REPLACED),
    Attack("false deposit", "in the author's name", _in_an_authors_name),
    Attack("flood of deposits", "of records that never come", _flood, NO_LIMIT),
    Attack("read what is erased", "ask again", _erased),
    Attack("read what is erased", "from all custodians' disks", _erased, KEPT),
)
