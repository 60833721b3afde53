"""Nothing on the chain identifies a person: what nodes keep is searched for all that the patients' records say of them.

Patients with names, numbers, addresses and contacts of their own go through a simulated chain and, in a slow test, a
real network.  Ledgers, indexes, journals, logs, locations and sealed objects must hold none of it, nor a bare hash of
it.  A chain of weak pseudonyms shows that the search finds what is there.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehrcore.block import Genesis
from ehrcore.codec import encode
from ehrcore.drive.cost import FREE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Requested
from ehrcore.fhir import read_record
from ehrcore.ledger import SqliteLedger
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.pseudonyms import PseudonymKind
from ehrcore.records import make_record
from ehrcore.types import MINUTE

PEOPLE = [
    {
        "resourceType": "Patient", "id": f"pat-7Qx{number}", "birthDate": f"198{number}-0{number + 1}-17",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": f"999-62-801{number}"}],
        "name": [{"family": f"Nitzschmann{number}", "given": [f"Kayleigh{number}"]}],
        "telecom": [{"system": "phone", "value": f"555-931-863{number}"},
                    {"system": "email", "value": f"kayleigh{number}@example.com"}],
        "address": [{"line": [f"{number}616 Boyle Ramp"], "city": f"Springfeld{number}",
                     "postalCode": f"0214{number}"}],
    }
    for number in range(3)
]  # fmt: skip
#: Members whose values are words of FHIR, not of a person.
_WORDS = {"resourceType", "system", "status"}
_SHORTEST = 5


def strings(value: object) -> Iterator[str]:
    """Every string that says something of somebody."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from strings(item) if name not in _WORDS else ()
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str) and len(value) >= _SHORTEST:
        yield value


FACTS = sorted({text for person in PEOPLE for text in strings(person)})


def resources() -> list[bytes]:
    """The patients themselves, and two observations and a bill of each, which name them, too."""
    made = [json.dumps(person).encode() for person in PEOPLE]
    for person in PEOPLE:
        subject = {"reference": f"Patient/{person['id']}", "display": person["name"][0]["family"]}
        made += [
            json.dumps({"resourceType": "Observation", "status": "final", "subject": subject, "n": number}).encode()
            for number in range(2)
        ]
        made.append(json.dumps({"resourceType": "Claim", "patient": subject}).encode())
    return made


def traces(fact: str) -> dict[str, bytes]:
    """What the fact looks like as it is, and under bare hashes, raw and in hexadecimal."""
    data = fact.encode()
    found = {"as it is": data, "in lower case": fact.lower().encode()}
    for suite in ("sha256", "sha1", "md5"):
        digest = hashlib.new(suite, data).digest()
        found |= {f"{suite}, raw": digest, f"{suite}, hex": digest.hex().encode()}
    return found


def search(haystack: bytes) -> set[tuple[str, str]]:
    """Which facts are in it, and how; upper-case hexadecimal counts, too."""
    folded = haystack.lower()
    return {
        (fact, how) for fact in FACTS for how, trace in traces(fact).items()
        if (trace in haystack if how.endswith("raw") else trace.lower() in folded)
    }  # fmt: skip


def simulate(folder: Path, kind: PseudonymKind) -> bytes:
    """All bytes that keepers of a simulated chain keep, and all that was observed."""
    params = ChainParams("people", Topology(1, 1, 4, 1), 1, 1, limits=Limits(max_wait_ns=MINUTE))
    network = found_network(params, "cryptography", "people", pseudonyms=kind)
    path, seen = folder / f"{kind}.sqlite", list[str]()
    with SqliteLedger.create(path, Genesis(network.params, network.certificates)) as ledger:
        simulation = Simulation(
            network, SimSetup("people", FREE), lambda *what: seen.append(repr(what)), {"contributor-0": ledger}
        )  # fmt: skip
        for number, body in enumerate(resources()):
            record = read_record(body)
            simulation.inject(number, "visitor-0", Requested(record, network.authority.pseudonym(record.patient_id)))
        simulation.run(10 * MINUTE)
        state = ledger.verify()
        content = b"".join(encode(entry) for entry in ledger.entries())
    assert state.height > 0
    return path.read_bytes() + content + "\n".join(seen).encode()


def test_facts_are_there_to_be_found() -> None:
    assert {"pat-7Qx0", "Nitzschmann1", "Kayleigh2", "999-62-8010", "1980-01-17", "0616 Boyle Ramp", "02142"} <= {
        *FACTS
    }
    body = b"".join(resources())
    assert {fact for fact, how in search(body) if how == "as it is"} == {*FACTS}
    planted = hashlib.sha1(b"Nitzschmann1").hexdigest().upper().encode()
    assert search(planted) == {("Nitzschmann1", "sha1, hex")}


@pytest.mark.parametrize("kind", [PseudonymKind.KEYED, PseudonymKind.PER_STUDY])
def test_a_simulated_chain_identifies_nobody(tmp_path: Path, kind: PseudonymKind) -> None:
    assert search(simulate(tmp_path, kind)) == set()


def test_the_papers_bare_hash_is_found(tmp_path: Path) -> None:
    found = search(simulate(tmp_path, PseudonymKind.BARE))
    assert found == {(person["id"], "sha256, raw") for person in PEOPLE}


def test_a_location_says_nothing_but_the_kind() -> None:
    for body in resources():
        record = read_record(body)
        again = make_record(record.kind, "somebody else", record.resource_type, body)
        assert search(record.location.encode()) == set()
        assert again.location == record.location


@pytest.mark.slow
def test_a_real_network_keeps_and_says_nothing_that_identifies(started, process, tmp_path: Path) -> None:
    records = tmp_path / "people"
    records.mkdir()
    for number, body in enumerate(resources()):
        (records / f"{number}.json").write_bytes(body)
    folder = started("--contributors", "2")
    done = process("submit", records, "--folder", folder)
    assert done.code == 0, done.err
    status = process("status", "--json", "--folder", folder)
    assert process("audit", "--folder", folder).code == 0
    assert process("network", "down", "--folder", folder).code == 0
    # The authority alone may know who is who.
    kept = [
        path for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "authority"
    ]  # fmt: skip
    assert {"ledger.sqlite", "index.sqlite", "journal.sqlite"} <= {path.name for path in kept}
    assert any(path.name == "log" for path in kept)
    assert len([path for path in kept if path.is_relative_to(folder / "objects")]) == len(resources())
    assert search(b"\n".join(path.read_bytes() for path in kept)) == set()
    assert search("\n".join(str(path) for path in folder.rglob("*")).encode()) == set(), "no name of a file says whose"
    assert search((done.out + status.out).encode()) == set()
