"""Mutual TLS: who has no certificate of the network is nobody, and files are as secret as they must be."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from ehrcore.codec import encode
from ehrcore.drive.net import tls
from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.drive.net.tls import client_context, issue_certificates, peer_name, server_context
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA
from ehrcore.errors import DeploymentError
from tests.core.net.conftest import Local, eventually, found_local


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> NetworkFolder:
    path = tmp_path_factory.mktemp("tls") / "network"
    found_local(path, tls=True)
    return NetworkFolder(path)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: Any) -> NetworkFolder:
    """Another network with the same names."""
    path = tmp_path_factory.mktemp("tls") / "stranger"
    found_local(path, tls=True)
    return NetworkFolder(path)


def shake(
    server: ssl.SSLContext, client: ssl.SSLContext, hostname: str | None = "127.0.0.1"
) -> tuple[str, str, str | None]:
    """One handshake: the names that client and server see, and the protocol; else the error of who found the fault."""
    errors: list[Exception] = []
    seen: dict[str, str] = {}

    def talk(context: ssl.SSLContext, end: socket.socket, side: str) -> None:
        try:
            with context.wrap_socket(
                end, server_side=side == "server", server_hostname=None if side == "server" else hostname
            ) as connection:
                connection.send(b"x")
                connection.recv(1)  # in TLS 1.3 a refused client hears of it when it reads
                seen[side], seen["protocol"] = peer_name(connection), connection.version() or ""
        except OSError as error:
            errors.append(error)

    left, right = socket.socketpair()
    thread = threading.Thread(target=talk, args=(server, left, "server"))
    thread.start()
    talk(client, right, "client")
    thread.join()
    for error in sorted(errors, key=lambda error: "ALERT" in str(error) or not isinstance(error, ssl.SSLError)):
        raise error
    return seen["client"], seen["server"], seen["protocol"]


def test_two_nodes_know_each_other_by_name_under_tls_1_3(folder: NetworkFolder) -> None:
    found = shake(server_context(folder, "agent-0"), client_context(folder, "contributor-0"))
    assert found == ("agent-0", "contributor-0", "TLSv1.3")


def test_a_node_answers_to_its_host_and_to_its_name_and_to_no_other(folder: NetworkFolder) -> None:
    server, client = server_context(folder, "agent-0"), client_context(folder, "visitor-0")
    assert shake(server, client, "agent-0")[0] == "agent-0"
    for other in ("127.0.0.2", "agent-1", "localhost"):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake(server, client, other)


def test_an_older_protocol_is_refused(folder: NetworkFolder) -> None:
    old = client_context(folder, "visitor-0")
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL"):
        shake(server_context(folder, "agent-0"), old)


def test_a_client_without_a_certificate_is_refused(folder: NetworkFolder) -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(folder.path / tls.AUTHORITY_FILE)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake(server_context(folder, "agent-0"), bare)


def test_who_is_of_another_network_is_refused_on_either_side(folder: NetworkFolder, stranger: NetworkFolder) -> None:
    trusting = client_context(stranger, "visitor-0")
    trusting.load_verify_locations(folder.path / tls.AUTHORITY_FILE)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake(server_context(folder, "agent-0"), trusting)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_context(stranger, "agent-0"), client_context(folder, "visitor-0"))


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificates_say_what_rfc_5280_asks_for(folder: NetworkFolder) -> None:
    authority = load(folder.path / tls.AUTHORITY_FILE)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    serials = {authority.serial_number}
    for name in folder.read_plan().nodes:
        certificate = load(folder.node(name) / tls.CERTIFICATE_FILE)
        certificate.verify_directly_issued_by(authority)
        assert certificate.subject.rfc4514_string() == f"CN={name}"
        extensions = certificate.extensions
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        assert usage.digital_signature
        assert not usage.key_cert_sign
        purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        assert purposes == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        issued_by = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert issued_by == authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        serials.add(certificate.serial_number)
    assert len(serials) == len(folder.read_plan().nodes) + 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on the path")
def test_openssl_verifies_strictly_for_both_purposes(folder: NetworkFolder) -> None:
    certificate = folder.node("agent-0") / tls.CERTIFICATE_FILE
    for purpose in ("sslserver", "sslclient"):
        words = [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            str(folder.path / tls.AUTHORITY_FILE),
        ]
        done = subprocess.run([*words, str(certificate)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_contexts_read_strictly(folder: NetworkFolder) -> None:
    for make in (server_context, client_context):
        context = make(folder, "agent-0")
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_certificate_of_the_authority_for_no_client_is_refused(
    folder: NetworkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: without client authentication among its purposes, a node's certificate is none for a client."""
    path = tmp_path / "network"
    monkeypatch.setattr(ExtendedKeyUsageOID, "CLIENT_AUTH", ExtendedKeyUsageOID.CODE_SIGNING)
    found_local(path, tls=True)
    spoilt = NetworkFolder(path)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake(server_context(spoilt, "agent-0"), client_context(spoilt, "visitor-0"))


def test_keys_are_for_their_owners_alone_and_the_rest_is_public(folder: NetworkFolder) -> None:
    keys = [folder.authority / tls.AUTHORITY_KEY_FILE]
    keys += [folder.node(name) / tls.KEY_FILE for name in folder.read_plan().nodes]
    for path in keys:
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"PRIVATE KEY" in path.read_bytes()
    for path in (folder.path / tls.AUTHORITY_FILE, folder.node("agent-0") / tls.CERTIFICATE_FILE):
        assert b"PRIVATE" not in path.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda own, _: (own / tls.KEY_FILE).chmod(0o644), "owner alone"),
        (lambda own, _: (own / tls.KEY_FILE).unlink(), "tls.key: expected a file"),
        (lambda own, _: (own / tls.CERTIFICATE_FILE).unlink(), "tls.pem: expected a file"),
        (lambda own, _: (own / tls.CERTIFICATE_FILE).write_text("nothing"), "tls.pem: expected a certificate"),
        (lambda own, _: (own / tls.KEY_FILE).write_text("nothing"), "tls.pem: expected a certificate"),
        (lambda own, _: shutil.copy(own.parent / "visitor-0" / tls.KEY_FILE, own / tls.KEY_FILE), "MISMATCH"),
        (lambda _, top: (top / tls.AUTHORITY_FILE).unlink(), "tls-authority.pem: expected a file"),
        (lambda _, top: (top / tls.AUTHORITY_FILE).write_text("nothing"), "expected the TLS authority"),
        (lambda _, top: (top / tls.AUTHORITY_FILE).write_bytes(b"\xff"), "expected the TLS authority"),
    ],
    ids=["open key", "no key", "no certificate", "no PEM", "no PEM key", "another's key", "no authority",
         "empty authority", "binary authority"],
)  # fmt: skip
def test_a_file_that_is_not_as_it_must_be_is_named(
    folder: NetworkFolder, tmp_path: Path, spoil: Any, message: str
) -> None:
    path = tmp_path / "network"
    shutil.copytree(folder.path, path)
    spoil(path / "nodes" / "agent-0", path)
    for make in (server_context, client_context):
        with pytest.raises(DeploymentError, match=message) as caught:
            make(NetworkFolder(path), "agent-0")
        assert "\n" not in str(caught.value)


def test_an_encrypted_key_asks_nobody_for_a_password(folder: NetworkFolder, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    path = tmp_path / "network"
    shutil.copytree(folder.path, path)
    key = generate_private_key(SECP256R1())
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (path / "nodes" / "agent-0" / tls.KEY_FILE).write_bytes(data)
    with pytest.raises(DeploymentError, match="expected a certificate and its key"):
        server_context(NetworkFolder(path), "agent-0")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.0.0.7", "10.0.0.7"), ("::1", "::1"), ("node.example.org", "node.example.org"), ("bücher.example", "xn--")],
)
def test_a_certificate_names_its_host_as_address_or_name(tmp_path: Path, host: str, expected: str) -> None:
    path = tmp_path / "network"
    found_local(path, tls=True)
    folder, plan = NetworkFolder(path), NetworkFolder(path).read_plan()
    place = msgspec.structs.replace(plan.nodes["agent-0"], host=host)
    issue_certificates(folder, msgspec.structs.replace(plan, nodes={"agent-0": place}))
    names = load(folder.node("agent-0") / tls.CERTIFICATE_FILE).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    shown = [str(name.value) for name in names.value]
    assert shown[1] == "agent-0"
    assert shown[0].startswith(expected)


@pytest.mark.parametrize("host", ["a..b", "x" * 64, ""])
def test_a_host_that_can_be_no_name_is_refused(tmp_path: Path, host: str) -> None:
    path = tmp_path / "network"
    plan = found_local(path)
    place = msgspec.structs.replace(plan.nodes["agent-0"], host=host)
    with pytest.raises(DeploymentError, match="host of agent-0: expected an IP address or a DNS name"):
        issue_certificates(NetworkFolder(path), msgspec.structs.replace(plan, nodes={"agent-0": place}))


def test_a_network_under_tls_takes_frames_from_their_senders_alone(folder: NetworkFolder) -> None:
    """The client shows the visitor's certificate: it may speak for the visitor, and for no one else."""

    async def check() -> None:
        async with Local(folder.path, "agent-0") as net:
            assert (await net.ask("agent-0", "/v1/health")).status == 200
            own = net.seal(net.frame("visitor-0", "agent-0"))
            assert (await net.post_frame(own)).status == 200
            for _ in range(2):  # the second time, the peer's name is remembered
                relayed = await net.post_frame(net.seal(net.frame("coordinator-0", "agent-0")))
                assert relayed.status == 401
                assert b"expected a connection of its own, found one of visitor-0" in relayed.body
            assert net.hosts["agent-0"].counters.frames_in == 1
            assert net.hosts["agent-0"].counters.problems == {"not-authentic": 2}

    asyncio.run(check())


def test_a_network_under_tls_hears_nobody_without_a_certificate(folder: NetworkFolder) -> None:
    async def check() -> None:
        async with Local(folder.path, "agent-0") as net:
            bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            bare.load_verify_locations(folder.path / tls.AUTHORITY_FILE)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=bare)) as client:
                with pytest.raises(aiohttp.ClientError):
                    await client.get(f"{net.plan.url('agent-0')}/v1/health")
            async with aiohttp.ClientSession() as client:
                with pytest.raises(aiohttp.ClientError):
                    await client.get(f"{net.plan.url('agent-0').replace('https', 'http')}/v1/health")
            assert (await net.ask("agent-0", "/v1/health")).status == 200

    asyncio.run(check())


def test_a_network_under_tls_agrees_on_blocks(folder: NetworkFolder) -> None:
    async def check() -> None:
        async with Local(folder.path) as net:
            tx = net.transaction()
            assert (await net.post("agent-0", "/v1/transactions", encode(tx), TRANSACTION_MEDIA)).status == 202

            async def is_final() -> bool:
                return (await net.ask("contributor-0", f"/v1/transactions/{net.tx_id(tx)}")).status == 200

            await eventually(is_final)
            assert all(not host.counters.problems.keys() - {"unknown-transaction"} for host in net.hosts.values())

    asyncio.run(check())
