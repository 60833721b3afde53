"""Persons and their consents on the command line: what is wrong in one line, and all of it on real nodes."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ehrcore.drive.net.persons import Entry, change_directory
from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.identity import Capacity
from ehrcore.ledger import SqliteLedger

PERSON, CONSENT = "person", "consent"
Call = Callable[..., list[str]]


@pytest.fixture
def folder(run, tmp_path: Path, free_ports) -> Path:
    words = ("network", "init", "--folder", tmp_path / "network", "--first-port", free_ports(5))
    assert run(*words).code in {0, None}
    return tmp_path / "network"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((PERSON, "enrol", "visitor-0", "--device"), "and no node's name, found 'visitor-0'"),
        ((PERSON, "enrol", "../alice", "--device"), "and no node's name, found '../alice'"),
        ((PERSON, "enrol", "alice"), "one of the arguments --patient --practitioner --device is required"),
        ((PERSON, "enrol", "alice", "--device", "--practitioner"), "not allowed with argument"),
        ((PERSON, "enrol", "alice", "--device", "--organisation", "Ward 3"), "--organisation: expected 1 to 64 of"),
        ((PERSON, "enrol", "alice", "--device", "--kinds", "x-ray"), "invalid choice: 'x-ray'"),
        ((PERSON, "enrol", "alice", "--device", "--days", "0"), "invalid number of days value: '0'"),
        ((PERSON, "rotate", "alice"), "ALIAS: expected a person who is enrolled, found 'alice'"),
        ((PERSON, "recover", "alice"), "ALIAS: expected a person who is enrolled, found 'alice'"),
        ((PERSON, "revoke", "alice"), "ALIAS: expected a person who is enrolled, found 'alice'"),
        ((PERSON, "show", "alice"), "alice: expected a person with files on this host (nobody yet"),
        ((CONSENT, "grant", "--as", "alice"), "alice: expected a person with files on this host (nobody yet"),
        ((CONSENT, "grant", "--as", "visitor-0"), "--as: expected a patient, found visitor-0, who is none"),
        ((CONSENT, "grant"), "the following arguments are required: --as"),
        ((CONSENT, "revoke", "00", "--as", "visitor-0"), "ID: expected 32 to 64 hexadecimal digits, found '00'"),
        ((CONSENT, "list"), "one of the arguments --as --patient is required"),
        ((CONSENT, "list", "--patient", "p0"), "ledgers: expected one that answers, found none"),
        ((PERSON, "crl"), "ledgers: expected one that answers, found none"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(run, folder: Path, words, told) -> None:
    done = run(*words, "--folder", folder)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert len(done.err.splitlines()) == 1
    assert not (folder / "persons").exists()


def test_a_node_is_shown_in_words(run, folder: Path) -> None:
    done = run(PERSON, "show", "agent-0", "--folder", folder)
    assert done.code == 0, done.err
    told = dict(line.split(maxsplit=1) for line in done.lines if line[:9] in {"subject  ", "role     ", "serial   "})
    assert told == {"subject": "agent-0", "role": "agent", "serial": "2"}
    assert "may submit    nothing" in done.out
    assert "until for ever" in done.out


def test_nobody_is_enrolled_as_a_patient_whom_somebody_else_is(run, folder: Path) -> None:
    network = NetworkFolder(folder)
    with change_directory(network, network.read_plan()) as directory:
        entry = Entry("person-0123456789abcdef", Capacity.PATIENT, "", "p1", (), (99,), 3)
        directory.persons |= {"anna": entry, "gone": msgspec.structs.replace(entry, patient="p2", is_revoked=True)}
    done = run(PERSON, "enrol", "eve", "--patient", "p1", "--folder", folder)
    assert done.code == 2
    assert "--patient: expected somebody who is not enrolled, found the patient of anna" in done.err
    assert "found the patient of" not in run(PERSON, "enrol", "eve", "--patient", "p2", "--folder", folder).err


def test_nothing_is_done_where_the_authority_is_not(run, folder: Path) -> None:
    shutil.rmtree(folder / "authority")
    for words in (("enrol", "alice", "--device"), ("list",), ("crl",), ("revoke", "alice")):
        done = run(PERSON, *words, "--folder", folder)
        assert done.code == 2
        assert "expected the authority, who" in done.err


def test_a_passphrase_is_never_an_argument(run) -> None:
    for words in ((PERSON, "enrol"), (PERSON, "rotate"), (CONSENT, "grant"), ("submit",), ("audit",)):
        told = run(*words, "--help").out
        assert "--passphrase-file FILE" in told
        assert "--passphrase " not in told
        assert "--passphrase=" not in told


def secret_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.slow
def test_persons_live_and_keys_are_renewed_on_real_nodes(started, process, run, tmp_path: Path) -> None:
    folder = started("--contributors", "2")

    def call(*words: object, code: int = 0) -> list[str]:
        done = run(*words, "--folder", folder)
        assert done.code in ({0, None} if code == 0 else {code}), done.err
        assert "correct horse" not in done.out + done.err
        return (done.out if code == 0 else done.err).splitlines()

    secret = secret_file(tmp_path / "secret", "correct horse\n")
    call(PERSON, "enrol", "alice", "--patient", "p0")
    call(PERSON, "enrol", "bob", "--practitioner", "--organisation", "ward-3", "--new-passphrase-file", secret)
    assert "found alice, who is enrolled" in call(PERSON, "enrol", "alice", "--device", code=2)[0]
    assert [line.split()[0] for line in call(PERSON, "list")[1:]] == ["alice", "bob"]
    assert not any("p0" in line for line in call(PERSON, "list"))
    check_passphrases(call, folder / "persons" / "bob" / "signing.key", secret)
    consent_id = check_consent(call, folder)
    check_recovery(call, folder, consent_id)
    check_revocation(call, folder)
    assert process("network", "down", "--folder", folder).code == 0
    path = folder / "nodes" / "contributor-0" / "ledger.sqlite"
    assert not any(name in path.read_bytes() for name in (b"alice", b"bob"))
    with SqliteLedger.open(path) as ledger:
        causes = [item.cause.name for item in ledger.verify().registry.revocations()]
    assert sorted(causes) == ["CESSATION", "KEY_COMPROMISE", "SUPERSEDED"]


def check_passphrases(call: Call, signing: Path, secret: Path) -> None:
    """Encrypted keys ask for their passphrase, and stay encrypted when they are renewed."""
    before = signing.read_bytes()
    wrong = secret_file(secret.with_name("wrong"), "incorrect horse\n")
    (told,) = call(PERSON, "rotate", "bob", "--passphrase-file", wrong, code=2)
    assert "signing.key: expected the key's passphrase, found another" in told
    call(PERSON, "rotate", "bob", "--passphrase-file", secret)
    assert before != signing.read_bytes()
    assert signing.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def check_consent(call: Call, folder: Path) -> str:
    """Granted, listed in local names, and exported in those of the chain."""
    (granted,) = call(CONSENT, "grant", "--as", "alice", "--to", "bob", "--kinds", "bill", "--until", "2099-01-31")
    (listed,) = call(CONSENT, "list", "--as", "alice")
    assert "permits bob to read, search, write records of bill for any purpose" in listed
    assert call(CONSENT, "list", "--patient", "p0") == [listed]
    resource = read_export(call, folder, granted.split()[0])
    assert (resource["resourceType"], resource["status"]) == ("Consent", "active")
    assert (folder / "persons" / "bob" / "subject").read_text() in json.dumps(resource)
    return granted.split()[0]


def read_export(call: Call, folder: Path, consent_id: str) -> dict[str, str]:
    call(CONSENT, "export", consent_id, "--fhir", folder / "consent.json")
    found: dict[str, str] = json.loads((folder / "consent.json").read_text())
    return found


def check_recovery(call: Call, folder: Path, consent_id: str) -> None:
    """What a lost key signs from then on is refused; with the new one the consent is taken back."""
    home, keys = folder / "persons" / "alice", ("signing.key", "wrap.key")
    lost = {name: (home / name).read_bytes() for name in keys}
    call(PERSON, "recover", "alice")
    new = {name: (home / name).read_bytes() for name in keys}
    for name, key in lost.items():
        (home / name).write_bytes(key)
    (told,) = call(CONSENT, "revoke", consent_id, "--as", "alice", code=1)
    assert "found refused: bad-signature (agent-0)" in told
    for name, key in new.items():
        (home / name).write_bytes(key)
    call(CONSENT, "revoke", consent_id, "--as", "alice")
    assert "no consent in force" in call(CONSENT, "list", "--as", "alice")[0]
    assert read_export(call, folder, consent_id)["status"] == "inactive"
    assert "found unknown-consent" in call(CONSENT, "revoke", consent_id, "--as", "alice", code=1)[0]


def check_revocation(call: Call, folder: Path) -> None:
    """For good, as the authority's list says to others."""
    call(PERSON, "revoke", "bob", "--cause", "cessation")
    assert "whose certificate is in force, found bob" in call(PERSON, "rotate", "bob", code=2)[0]
    call(PERSON, "crl", "-o", folder / "crl.pem")
    if shutil.which("openssl"):
        verify = ("openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", folder / "authority" / "ca.pem",
                  "-CRLfile", folder / "crl.pem")  # fmt: skip
        for alias, code in (("alice", 0), ("bob", 2)):
            path = folder / "persons" / alias / "certificate.pem"
            assert subprocess.run([*verify, path], capture_output=True, check=False).returncode == code
