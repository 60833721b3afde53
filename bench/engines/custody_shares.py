"""Attacks on custody by who deals keys out or keeps their shares: lies, false deposits, floods, and what is erased."""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from bench.engines.custody_stage import CREATED, KEPT, LIMIT, NO_LIMIT, NO_PLEDGES, REPLACED, Attack, Stage
from bench.engines.impostor import FULL
from bench.experiments.attacks import Tally
from bench.net.ward import PATIENT, eventually
from ehrcore.block import RecordRef
from ehrcore.codec import decode, encode
from ehrcore.consent import Erasure
from ehrcore.custody import Deposit, Release, deal, deposit_info, pack_share, unpack_share
from ehrcore.drive.net.custodians import Custodians
from ehrcore.drive.net.persons import Person
from ehrcore.drive.net.share_file import KEY_FILE, KEYS_FILE
from ehrcore.drive.net.web.custody import DEPOSIT_MEDIA
from ehrcore.drive.net.wrapping import wrap
from ehrcore.errors import StorageError
from ehrcore.sealing import open_sealed, record_context
from ehrcore.sharing import join, split

_GOES: Final = 16


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
    access = await stage.ask_to_search(ward.doctor)
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
        await stage.use(ward.doctor, link)
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


SHARE_ATTACKS: Final = (
    Attack("false share", "one bit of it", _altered_share, NO_PLEDGES),
    Attack("false share", "of another dealing", _own_dealing),
    Attack("false list", "without a record", _hidden),
    Attack("overwritten deposit", "with the author's key", _overwrite, REPLACED),
    Attack("false deposit", "in the author's name", _in_an_authors_name),
    Attack("flood of deposits", "of records that never come", _flood, NO_LIMIT),
    Attack("read what is erased", "ask again", _erased),
    Attack("read what is erased", "from all custodians' disks", _erased, KEPT),
)
