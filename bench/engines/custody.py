"""Engine `custody`: attacks on records' keys, links and shares, over real HTTP, with each protection and without.

All are told the same in words and length when they are denied; the reason in a row is the custodian's own count
(`ehrcore.custody.Denial`).  A weakened variant replaces one function of the product while an attack is played.
"""

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from bench.engines.base import Context
from bench.engines.custody_shares import SHARE_ATTACKS
from bench.engines.custody_stage import BELIEVED, NO_JUDGING, OK, Attack, Stage, weaken
from bench.engines.impostor import FULL
from bench.experiments.attacks import Expected, Tally, check_attacks
from bench.experiments.base import Case, Row
from bench.net.ward import OTHER_PATIENT, PATIENT, open_ward
from ehrcore import custodian
from ehrcore.codec import decode, encode
from ehrcore.consent import Emergency, Purpose, Withdrawal
from ehrcore.custody import Link, Release, SearchBody, SearchRequest, SignedPage, search_info
from ehrcore.drive.net import custody as keepers
from ehrcore.drive.net.client import Answer
from ehrcore.drive.net.web.custody import SEARCH_MEDIA
from ehrcore.drive.net.wrapping import unwrap


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


async def _search(stage: Stage) -> None:
    ward, node = stage.ward, stage.node
    access = await stage.ask_to_search(ward.stranger)
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


async def _stolen(stage: Stage) -> None:
    await stage.use(stage.ward.stranger, await _link(stage))


async def _used(stage: Stage) -> None:
    link, first = await _link(stage), replace(stage, tally=Tally("", "", "", "succeeds"))
    await first.use(stage.ward.doctor, link)
    if not first.tally.succeeded:
        raise AssertionError("expected a link that is good once")
    for _ in range(2):
        await stage.use(stage.ward.doctor, link)


async def _expired(stage: Stage) -> None:
    link = await _link(stage)
    with stage.later(custodian.LINK_NS):
        await stage.use(stage.ward.doctor, link)


async def _forged(stage: Stage) -> None:
    """For another person, for longer, to another custodian."""
    ward, link = stage.ward, await _link(stage)
    mine = msgspec.structs.replace(link.body, person=ward.stranger.subject)
    longer = msgspec.structs.replace(link.body, expires_at=link.body.expires_at + 1)
    await stage.use(ward.stranger, msgspec.structs.replace(link, body=mine))
    await stage.use(ward.doctor, msgspec.structs.replace(link, body=longer))
    await stage.use(ward.doctor, link, ward.custodians[1])


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
    *SHARE_ATTACKS,
)
