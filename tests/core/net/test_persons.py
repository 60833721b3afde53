"""Keys lie in files of their owner's alone, open with their own passphrase, and show nothing."""

import base64
import os
import shutil
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ehrcore.der import write_integer
from ehrcore.drive.net.files import write_file
from ehrcore.drive.net.keys import ROUNDS, Passphrase, read_scalar, read_wrap_key, write_key
from ehrcore.drive.net.persons import (
    Directory,
    Entry,
    change_directory,
    check_alias,
    make_keys,
    new_subject,
    open_issuer,
    open_person,
    promote,
    read_certificate,
    read_directory,
    subject_of,
)
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, NetworkPlan, found
from ehrcore.errors import DeploymentError, ParameterError
from ehrcore.identity import Capacity
from ehrcore.types import Role
from ehrcore.x509_parts import from_pem, to_pem

SECRET = b"correct horse battery staple"


@pytest.fixture(scope="module", params=["p256", "secp256k1"])
def founded(request: pytest.FixtureRequest, tmp_path_factory) -> tuple[NetworkFolder, NetworkPlan]:
    path = tmp_path_factory.mktemp("network") / "net"
    config = NetworkConfig(curve=request.param, organisations={"visitor-0": "st-mary"})
    return NetworkFolder(path), found(path, config, 0, "persons")


@pytest.fixture(scope="module")
def made(founded, tmp_path_factory) -> tuple[Path, Path]:
    """Where somebody with encrypted keys lives, and a copy of it: encryption is meant to take long."""
    folder, plan = founded
    home, copy = folder.path / "persons" / "alice", tmp_path_factory.mktemp("copy") / "alice"
    make_keys(home, plan.open_genesis().params.curve, SECRET)
    write_file(home / "subject", b"person-0123456789abcdef")
    shutil.copytree(home, copy)
    return home, copy


@pytest.fixture
def alice(made: tuple[Path, Path]) -> Path:
    """Somebody with encrypted keys, as they were made for each test."""
    home, copy = made
    shutil.rmtree(home)
    shutil.copytree(copy, home)
    return home


def secret_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


# -- keys ------------------------------------------------------------------------------------------------------------


def test_a_person_signs_as_the_subject_and_shows_no_secret(founded, alice: Path, tmp_path: Path) -> None:
    folder, plan = founded
    person = open_person(folder, plan, "alice", Passphrase(secret_file(tmp_path / "p", SECRET + b"\n")))
    assert (person.subject, person.alias) == ("person-0123456789abcdef", "alice")
    body = ("anything",)
    assert person.crypto.verify(person.key.public_bytes, body, person.crypto.sign(body))
    scalar = read_scalar(alice / "signing.key", plan.open_genesis().params.curve, Passphrase(tmp_path / "p"))
    shown = f"{person!r} {person} {person.crypto!r} {Passphrase(tmp_path / 'p')!r}".lower()
    for secret in (f"{scalar:x}", str(scalar), SECRET.decode(), person.wrap_key.private_bytes_raw().hex()):
        assert secret not in shown


def test_a_node_is_a_person_too(founded) -> None:
    folder, plan = founded
    person = open_person(folder, plan, "visitor-0")
    certificate = next(item.body for item in plan.open_genesis().certificates if item.body.subject == "visitor-0")
    assert (person.subject, person.key.public_bytes) == ("visitor-0", certificate.public_key)
    assert person.wrap_key.public_key().public_bytes_raw() == certificate.wrap_key
    assert certificate.organisation == "st-mary"


def test_keys_are_pkcs8_and_encrypted(alice: Path) -> None:
    for name, kind in (("signing.key", ec.EllipticCurvePrivateKey), ("wrap.key", x25519.X25519PrivateKey)):
        pem = (alice / name).read_bytes()
        assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert isinstance(load_pem_private_key(pem, SECRET), kind)
        der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
        assert write_integer(ROUNDS) in der[:100], "a guess of the passphrase costs as much as is usual"
        assert stat.S_IMODE((alice / name).stat().st_mode) == 0o600
    for path in (alice, alice.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_another_passphrase_is_told_in_one_line_without_it(founded, alice: Path, tmp_path: Path) -> None:
    folder, plan = founded
    for wrong in (b"wrong", SECRET + b" ", SECRET[:-1], b"\xff\xfe"):
        with pytest.raises(
            DeploymentError, match="signing.key: expected the key's passphrase, found another"
        ) as caught:
            open_person(folder, plan, "alice", Passphrase(secret_file(tmp_path / "p", wrong)))
        assert wrong.decode("latin-1") not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o644, 0o610, 0o601])
@pytest.mark.parametrize("name", ["signing.key", "wrap.key", "p"])
def test_a_secret_that_others_may_touch_is_refused(founded, alice: Path, tmp_path: Path, mode: int, name: str) -> None:
    folder, plan = founded
    secret_file(tmp_path / "p", SECRET)
    ((tmp_path if name == "p" else alice) / name).chmod(mode)
    with pytest.raises(
        DeploymentError, match=rf"/{name}: expected a secret that its owner alone may read .* {mode:04o}"
    ):
        open_person(folder, plan, "alice", Passphrase(tmp_path / "p"))


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"x" * 1_025])
def test_an_unusable_passphrase_is_refused(founded, alice: Path, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DeploymentError, match="expected a passphrase of 1 to 1024 bytes"):
        open_person(*founded, "alice", Passphrase(secret_file(tmp_path / "p", content)))


def test_a_passphrase_comes_from_a_descriptor_once(founded, alice: Path) -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, SECRET[:5])
        threading.Thread(target=lambda: (os.write(writer, SECRET[5:] + b"\n"), os.close(writer))).start()
        source = Passphrase(descriptor=reader)
        assert open_person(*founded, "alice", source).alias == "alice"
        assert open_person(*founded, "alice", source).alias == "alice"
    finally:
        os.close(reader)
    with pytest.raises(DeploymentError, match=r"descriptor \d+: expected one that can be read"):
        open_person(*founded, "alice", Passphrase(descriptor=reader))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("signing.key", None, "expected the key's passphrase"),
        ("signing.key", b"zz", "expected a private key, found something else"),
        ("signing.key", b"", "expected a private key, found something else"),
        ("wrap.key", b"00" * 31, "expected an X25519 key, found something else"),
        ("wrap.key", b"zz" * 32, "expected an X25519 key, found something else"),
        ("subject", b"Alice Smith", "expected a subject's name, found something else"),
        ("subject", b"\xff", "expected a subject's name, found something else"),
    ],
)
def test_damaged_files_are_named(founded, alice: Path, tmp_path: Path, name: str, content, told: str) -> None:
    path = alice / name
    secret_file(path, path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(DeploymentError, match=rf"/{name}: {told}"):
        open_person(*founded, "alice", Passphrase(secret_file(tmp_path / "p", SECRET)))


def test_a_key_of_another_kind_or_curve_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path / "wrap.key", x25519.X25519PrivateKey.generate())
    write_key(tmp_path / "p256.key", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(DeploymentError, match="expected a key on p256, found another kind"):
        read_scalar(tmp_path / "wrap.key", "p256")
    with pytest.raises(DeploymentError, match="expected a key on secp256k1, found another kind"):
        read_scalar(tmp_path / "p256.key", "secp256k1")
    with pytest.raises(DeploymentError, match="expected an X25519 key, found another kind"):
        read_wrap_key(tmp_path / "p256.key")


def test_the_authoritys_key_may_be_encrypted_too(tmp_path: Path) -> None:
    folder, plan = NetworkFolder(tmp_path / "net"), found(tmp_path / "net", NetworkConfig(), 0, "x")
    path = folder.authority / "signing.key"
    scalar = read_scalar(path, "p256")
    write_key(path, ec.derive_private_key(scalar, ec.SECP256R1()), SECRET)
    source = Passphrase(secret_file(tmp_path / "p", SECRET))
    body = folder.open_authority(plan, source).certify("a", Role.AGENT, bytes(33)).body
    assert body.subject == "a"
    with pytest.raises(DeploymentError, match="expected --passphrase-file or a terminal"):
        detached(lambda: folder.open_authority(plan))


def detached(action: Callable[[], object]) -> None:
    """In a session without a terminal, whatever the tests run in."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        action()
    else:
        pytest.skip("there is a terminal")


def test_new_keys_wait_until_they_are_promoted(founded, alice: Path, tmp_path: Path) -> None:
    folder, plan = founded
    source = Passphrase(secret_file(tmp_path / "p", SECRET))
    before = open_person(folder, plan, "alice", source)
    key, wrap_key = make_keys(alice / "next", plan.open_genesis().params.curve)
    assert open_person(folder, plan, "alice", source).key.public_bytes == before.key.public_bytes
    promote(alice)
    after = open_person(folder, plan, "alice")
    assert (after.key.public_bytes, after.wrap_key.public_key().public_bytes_raw()) == (key.public_bytes, wrap_key)
    old = read_wrap_key(next(alice.glob("wrap.key.old-*")), source)
    assert old.private_bytes_raw() == before.wrap_key.private_bytes_raw()
    assert not (alice / "next").exists()


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["visitor-0", "agent-12", "authority", "contributor", "", ".", "..", "../x", "a/b",
                                   "A", "-a", "a b", "a" * 65, "person-0123456789abcdef", "a\n"])  # fmt: skip
def test_what_could_be_a_path_or_a_node_is_no_alias(alias: str) -> None:
    with pytest.raises(DeploymentError, match="ALIAS: expected 1 to 64 of"):
        check_alias(alias)


def test_subjects_say_nothing_and_are_found_by_alias(founded, alice: Path) -> None:
    assert len({new_subject() for _ in range(100)}) == 100
    assert subject_of(*founded, "alice") == "person-0123456789abcdef"
    assert subject_of(*founded, "visitor-0") == "visitor-0"
    assert subject_of(*founded, new_subject()).startswith("person-")
    with pytest.raises(DeploymentError, match="nobody: expected a person with files on this host \\(alice\\)"):
        subject_of(*founded, "nobody")
    with pytest.raises(DeploymentError, match="nobody: expected a person with files on this host"):
        open_person(*founded, "nobody")


def test_organisations_are_of_nodes_of_the_network(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="expected names of this network's nodes, found visitor-9"):
        found(tmp_path / "net", NetworkConfig(organisations={"visitor-9": "st-mary"}), 0)
    assert not (tmp_path / "net").exists()


# -- the directory ---------------------------------------------------------------------------------------------------


def test_the_directory_is_the_authoritys_alone_and_gives_no_serial_twice(founded) -> None:
    folder, plan = founded
    first = 1 + len(plan.nodes)
    entry = Entry("person-0123456789abcdef", Capacity.PATIENT, "", "p0", (), (first,), 1)
    with change_directory(folder, plan) as directory:
        assert directory.take_serial() == first
        directory.persons["alice"] = entry
    path = folder.authority / "persons.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_directory(folder, plan) == Directory(first + 1, {"alice": entry})
    with pytest.raises(DeploymentError, match="expected a person who is enrolled, found 'bob'"):
        read_directory(folder, plan).find("bob")
    with suppress(KeyError), change_directory(folder, plan) as directory:
        directory.take_serial()
        raise KeyError
    assert read_directory(folder, plan).next_serial == first + 1
    path.chmod(0o644)
    with pytest.raises(DeploymentError, match="its owner alone may read"):
        read_directory(folder, plan)
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(DeploymentError, match="expected the directory of persons"):
        read_directory(folder, plan)
    path.unlink()


def test_those_who_change_it_at_once_take_turns(founded) -> None:
    folder, plan = founded
    taken: list[int] = []

    def take() -> None:
        for _ in range(5):
            with change_directory(folder, plan) as directory:
                taken.append(directory.take_serial())

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(min(taken), min(taken) + 20))
    (folder.authority / "persons.json").unlink()


# -- X.509 of a founded network --------------------------------------------------------------------------------------


def test_every_node_has_its_certificate(founded) -> None:
    folder, plan = founded
    for certificate in plan.open_genesis().certificates:
        body, der = read_certificate(folder, plan, certificate.body.subject)
        assert body == certificate.body
        name = x509.load_der_x509_certificate(der).subject.rfc4514_string()
        assert f"CN={body.subject}" in name
    ca = (folder.authority / "ca.pem").read_bytes()
    open_issuer(folder, plan).read_authority(from_pem("CERTIFICATE", ca))
    path = folder.node("agent-0") / "certificate.pem"
    good = path.read_bytes()
    path.write_bytes(to_pem("CERTIFICATE", from_pem("CERTIFICATE", good)[:-1] + b"\0"))
    try:
        with pytest.raises(DeploymentError, match=r"certificate.pem: certificate: expected"):
            read_certificate(folder, plan, "agent-0")
    finally:
        path.write_bytes(good)
