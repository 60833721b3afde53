"""An audit believes its own replay alone: a keeper or a store that says otherwise is a finding."""

import json
from typing import Any

import msgspec
import pytest

from ehrcore.auditing import AuditEvent, Deed, Trail
from ehrcore.cli.audit import Audit, _export, _replay
from ehrcore.cli.format import align, parse_digest, show_number, show_time
from ehrcore.cli.trail import HEADINGS, SHORT, show_trail, summarise
from ehrcore.codec import encode
from ehrcore.consent import Emergency, Purpose
from ehrcore.drive.cost import FREE
from ehrcore.drive.net.client import Answer, Client, NoAnswerError
from ehrcore.drive.net.objects import FileStore
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Requested
from ehrcore.errors import DeploymentError
from ehrcore.identity import Reason
from ehrcore.ledger import MemoryLedger, open_crypto
from ehrcore.messages import Finalised
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import RecordKind, make_record
from ehrcore.state import ChainState
from ehrcore.types import MINUTE

RECORDS = [make_record(RecordKind.BILL, f"p{number % 2}", "Claim", b'{"n":%d}' % number) for number in range(6)]


def simulate() -> tuple[Network, list[Finalised], bytes]:
    params = ChainParams("audited", Topology(1, 1, 1, 1), 1, 1, limits=Limits(2, max_wait_ns=MINUTE))
    network = found_network(params, "cryptography", "audits")
    ledger = MemoryLedger()
    simulation = Simulation(network, SimSetup("audits", FREE), lambda *_: None, {"contributor-0": ledger})
    for number, record in enumerate(RECORDS):
        simulation.inject(number, "visitor-0", Requested(record, network.authority.pseudonym(record.patient_id)))
    simulation.run(10 * MINUTE)
    entries = list(ledger.entries)
    return network, [Finalised(item.block, item.certificate) for item in entries], entries[-1].state


NETWORK, BLOCKS, STATE = simulate()


@pytest.fixture
def audit(tmp_path) -> Audit:
    store = FileStore(tmp_path)
    for record in RECORDS:
        store.put(record.location, record.body)
    crypto = open_crypto(NETWORK.params)
    state = ChainState(NETWORK.params, NETWORK.chain, NETWORK.certificates, crypto)
    return Audit(state, crypto, store, Trail(crypto, NETWORK.authority.pseudonym("p1")))


class Keeper:
    """A ledger keeper that hands out blocks, as a client sees it."""

    blocks = Client.blocks

    def __init__(self, blocks: list[Finalised], *, says: Exception | None = None) -> None:
        self._blocks, self._says, self.asked = blocks, says, 0

    async def fetch(self, name: str, route: str) -> Answer:
        self.asked += 1
        if self._says:
            raise self._says
        first = int(route.partition("from=")[2].partition("&")[0])
        limit = int(route.rpartition("=")[2])
        return Answer(name, 200, encode(tuple(self._blocks[first - 1 : first - 1 + min(limit, 2)])))


async def replay(audit: Audit, keeper: Keeper, last: int = len(BLOCKS)) -> None:
    await _replay(audit, keeper, "contributor-0", last)  # type: ignore[arg-type]


def run(coroutine: Any) -> None:
    import asyncio

    asyncio.run(coroutine)


class Status(msgspec.Struct):
    """What `Audit.compare` looks at."""

    name: str = "contributor-0"
    height: int = len(BLOCKS)
    tip: str = ""
    state: str = STATE.hex()


def test_a_good_chain_is_replayed_to_the_keepers_own_state(audit: Audit) -> None:
    run(replay(audit, Keeper(BLOCKS)))
    assert (audit.state.height, audit.state.digest) == (len(BLOCKS), STATE)
    assert (audit.valid, audit.marked, audit.objects, audit.findings) == (len(RECORDS), 0, len(RECORDS), [])
    assert len(audit.trail.events) == 3
    audit.compare(Status(tip=audit.state.tip.hex()))  # type: ignore[arg-type]
    audit.compare(Status(height=0, state="odd"))  # type: ignore[arg-type]
    assert audit.findings == []


def test_no_more_is_replayed_than_was_told_of(audit: Audit) -> None:
    run(replay(audit, Keeper(BLOCKS), last=1))
    assert audit.state.height == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tip": "00" * 32}, f"contributor-0: block {len(BLOCKS)}: expected "),
        ({"state": "00" * 32}, f"contributor-0: state at {len(BLOCKS)}: expected {STATE.hex()}, found 0000"),
        ({"height": 99}, f"contributor-0: expected height {len(BLOCKS)} at most, found 99"),
    ],
)
def test_a_keeper_that_says_otherwise_is_found(audit: Audit, change: dict[str, Any], expected: str) -> None:
    run(replay(audit, Keeper(BLOCKS)))
    audit.compare(Status(**({"tip": audit.state.tip.hex()} | change)))  # type: ignore[arg-type]
    (finding,) = audit.findings
    assert finding.startswith(expected)


def test_a_forged_block_is_found_and_another_keeper_goes_on(audit: Audit) -> None:
    header = msgspec.structs.replace(BLOCKS[1].block.header, timestamp=BLOCKS[1].block.header.timestamp + 1)
    forged = msgspec.structs.replace(BLOCKS[1], block=msgspec.structs.replace(BLOCKS[1].block, header=header))
    run(replay(audit, Keeper([BLOCKS[0], forged, *BLOCKS[2:]])))
    (finding,) = audit.findings
    assert finding.startswith("contributor-0: block 2: certificate: expected the precommit of administrator-0")
    assert audit.state.height == 1
    run(replay(audit, Keeper(BLOCKS)))
    assert audit.state.digest == STATE
    assert len(audit.findings) == 1


def test_a_keeper_that_skips_or_breaks_off_is_found(audit: Audit) -> None:
    run(replay(audit, Keeper([BLOCKS[0], *BLOCKS[2:]])))
    assert audit.findings[0].startswith("contributor-0: block 2: height: expected 2, found 3")
    run(replay(audit, Keeper(BLOCKS, says=NoAnswerError("contributor-0: gone"))))
    assert audit.findings[1] == "contributor-0: gone"
    silent = Keeper(BLOCKS[:1])
    run(replay(audit, silent))
    assert silent.asked == 1, "whoever has no more is not asked for ever"


def test_records_that_are_gone_or_changed_are_found(audit: Audit, tmp_path) -> None:
    store = FileStore(tmp_path)
    store.put(RECORDS[2].location, RECORDS[2].body + b" ")
    store.path(RECORDS[4].location).unlink()
    run(replay(audit, Keeper(BLOCKS)))
    audit.settle()
    assert [finding.partition(":")[0] for finding in audit.findings] == [RECORDS[2].location, RECORDS[4].location]
    assert "expected the digest in transaction" in audit.findings[0]
    assert audit.findings[1].endswith("found none")


def test_numbers_times_and_tables_are_written_one_way() -> None:
    assert [show_number(value) for value in (None, 0, 1234.5, 1e6)] == ["–", "0", "1,234", "1,000,000"]
    assert show_number(0.125, 2) == "0.12"
    assert show_time(1_795_411_372_061_883_305) == "2026-11-23T05:22:52Z"
    assert show_time((1 << 63) - 1) == "2262-04-11T23:47:16Z"
    assert align([("a", "b"), ("long", "100")]) == ["a       b", "long  100"]


@pytest.mark.parametrize("text", ["", "00", "0" * 65, "0" * 66, "g" * 64, "é" * 32])
def test_an_id_is_32_to_64_hexadecimal_digits(text: str) -> None:
    with pytest.raises(DeploymentError, match="ID: expected 32 to 64 hexadecimal digits, found "):
        parse_digest("ID", text)
    assert parse_digest("ID", "AB" * 16) == b"\xab" * 16


def told_of(audit: Audit, height: int) -> dict[str, Any]:
    block, state, reasons = audit.marks[height]
    return {"hash": block, "state": state, "contents": [{"reason": reason} for reason in reasons]}


def test_a_ledger_that_agrees_has_no_findings_and_each_difference_is_one(audit: Audit) -> None:
    run(replay(audit, Keeper(BLOCKS)))
    good = told_of(audit, 1)
    audit.compare_block("contributor-0", 1, good)
    assert not audit.findings
    others = {"hash": "00", "state": "00", "contents": [{"reason": "revoked"} for _ in good["contents"]]}
    for key, value in others.items():
        audit.findings.clear()
        audit.compare_block("contributor-0", 1, good | {key: value})
        (finding,) = audit.findings
        assert finding.startswith("contributor-0: ")
    assert "expected valid, valid, found revoked, revoked" in finding
    for spoilt in ({}, {"contents": "none"}):
        audit.findings.clear()
        audit.compare_block("contributor-0", 1, spoilt)
        assert len(audit.findings) == 3


# -- the trail ---------------------------------------------------------------------------------------------------------


def event(audit: Audit, **changes: Any) -> AuditEvent:
    """A doctor's read of the patient's first record, otherwise as ``changes`` say."""
    first = audit.trail.events[0]
    read = {"deed": Deed.READ, "author": "person-1", "purpose": Purpose.TREATMENT, "location": "", "tx_id": b"2" * 32}
    return msgspec.structs.replace(first, **(read | changes))


@pytest.mark.parametrize(
    ("changes", "marks"),
    [
        ({}, ""),
        ({"reason": Reason.DENIED}, "  DENIED"),
        ({"purpose": Purpose.EMERGENCY, "emergency": Emergency.UNCONSCIOUS}, "  BREAK-GLASS (unconscious)"),
        ({"purpose": Purpose.EMERGENCY, "emergency": Emergency.UNCONSCIOUS, "reason": Reason.ERASED},
         "  BREAK-GLASS (unconscious)  DENIED"),
        ({"patient": bytes(32)}, "  NOT THIS PATIENT'S RECORD"),
    ],
)  # fmt: skip
def test_a_line_of_the_trail_marks_what_stands_out(audit: Audit, changes: dict[str, Any], marks: str) -> None:
    run(replay(audit, Keeper(BLOCKS)))
    shown = event(audit, **changes)
    about, purpose = f"of {audit.trail.events[0].tx_id.hex()[:SHORT]}", shown.purpose
    audit.trail.events.append(shown)
    for names in ({}, {"person-1": "drbob"}):
        heads, *lines = show_trail(audit.trail, names)
        block, outcome = str(shown.height), shown.reason or "valid"
        assert lines[-1].split() == [
            show_time(shown.at), "person-1", *(["(drbob)"] if names else []), "read", "bill", block, outcome,
            shown.tx_id.hex(), *about.split(), "for", str(purpose), *marks.split(),
        ]  # fmt: skip
        assert lines[-1].endswith(f"{about}  for {purpose}{marks}")
        starts = [heads.index(name) for name in HEADINGS]
        assert all(line[at - 1] == " " and line[at] != " " for line in lines for at in starts[1:7]), "columns"


def test_the_trail_says_what_a_withdrawal_and_an_unknown_record_are(audit: Audit) -> None:
    run(replay(audit, Keeper(BLOCKS)))
    audit.trail.events += [
        event(audit, deed=Deed.WITHDRAWAL, record=bytes(32), purpose=None),
        event(audit, record=b"1" * 32),
    ]
    *_, withdrawal, unknown = show_trail(audit.trail, {})
    assert withdrawal.endswith(f"of {'0' * SHORT}")
    assert f"of an unknown record ({b'1'.hex() * (SHORT // 2)})" in unknown


def test_the_trail_is_summed_up_and_exported(audit: Audit, tmp_path) -> None:
    run(replay(audit, Keeper(BLOCKS)))
    audit.trail.events += [event(audit), event(audit, reason=Reason.NO_CONSENT, deed=Deed.SEARCH, record=b"")]
    assert summarise(audit.trail) == "3 writes, 2 reads and searches, 1 denied, 0 by breaking the glass"
    _export(tmp_path / "trail.json", audit.trail, NETWORK.chain.hex())
    bundle = json.loads((tmp_path / "trail.json").read_text())
    assert [entry["resource"]["outcome"] for entry in bundle["entry"]] == ["0"] * 4 + ["4"]
    assert (tmp_path / "trail.json").stat().st_mode & 0o077 == 0, "who saw whose records is nobody else's business"
    with pytest.raises(DeploymentError, match="expected a file that can be written"):
        _export(tmp_path / "trail.json" / "below", audit.trail, NETWORK.chain.hex())
