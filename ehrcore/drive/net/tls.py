"""Mutual TLS: the authority's X.509 certificates for its nodes, and the two sides' contexts (TLS 1.3, RFC 8446).

The authority signs nodes' certificates with a key of its own; a node shows its name as the subject's common name.
Each side refuses a peer without a certificate of this network, under OpenSSL's strict reading of RFC 5280.
"""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ehrcore.drive.net.files import read_file, read_secret, write_file
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import DeploymentError

AUTHORITY_FILE: Final = "tls-authority.pem"
AUTHORITY_KEY_FILE: Final = "tls-authority.key"
CERTIFICATE_FILE: Final = "tls.pem"
KEY_FILE: Final = "tls.key"
#: How long certificates are valid; clocks may be apart by a day when a network is founded.
VALIDITY: Final = timedelta(days=5 * 365)
SLACK: Final = timedelta(days=1)
_LONGEST_COMMON_NAME: Final = 64


def issue_certificates(folder: NetworkFolder, plan: NetworkPlan) -> None:
    """Make the TLS authority and, for each node of the plan, a key and a certificate; existing ones are replaced.

    `DeploymentError` names a file that cannot be written, or a host that is neither an address nor a DNS name.
    """
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = _name(f"{plan.name[: _LONGEST_COMMON_NAME - 14]} TLS authority")
    authority = _build(name, name, key.public_key(), key, now, None)
    write_file(folder.authority / AUTHORITY_KEY_FILE, _key_bytes(key), is_secret=True)
    write_file(folder.path / AUTHORITY_FILE, authority.public_bytes(Encoding.PEM))
    for node, place in plan.nodes.items():
        own = generate_private_key(SECP256R1())
        certificate = _build(_name(node), name, own.public_key(), key, now, _alternative_names(node, place.host))
        write_file(folder.node(node) / KEY_FILE, _key_bytes(own), is_secret=True)
        write_file(folder.node(node) / CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_bytes(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _alternative_names(node: str, host: str) -> x509.SubjectAlternativeName:
    """A node answers to its host and, for who would rather ask for it, to its own name."""
    place: x509.GeneralName
    try:
        place = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        try:
            name = host.encode("idna").decode()
        except UnicodeError:
            name = ""
        if not name:
            raise DeploymentError(f"host of {node}: expected an IP address or a DNS name, found {host!r}") from None
        place = x509.DNSName(name)
    return x509.SubjectAlternativeName([place, x509.DNSName(node)])


def _build(
    subject: x509.Name,
    issuer: x509.Name,
    public: EllipticCurvePublicKey,
    signer: EllipticCurvePrivateKey,
    now: datetime,
    names: x509.SubjectAlternativeName | None,
) -> x509.Certificate:
    """A certificate of the authority itself if ``names`` is None, else of a node (RFC 5280 sections 4.2.1.1 to .12)."""
    is_authority = names is None
    usage = {"digital_signature": not is_authority, "key_cert_sign": is_authority, "crl_sign": is_authority}
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    builder = (
        x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), now - SLACK, now + VALIDITY)
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, **dict.fromkeys(others, False), encipher_only=False, decipher_only=False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names is not None:
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        for extension in (names, x509.ExtendedKeyUsage(purposes)):
            builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, SHA256())


def server_context(folder: NetworkFolder, name: str) -> ssl.SSLContext:
    """What the node ``name`` serves with: every client has to show a certificate of this network."""
    return _context(folder, name, ssl.PROTOCOL_TLS_SERVER)


def client_context(folder: NetworkFolder, name: str) -> ssl.SSLContext:
    """What the node ``name`` asks others with: they have to be of this network, at the host that was asked for."""
    return _context(folder, name, ssl.PROTOCOL_TLS_CLIENT)


def _context(folder: NetworkFolder, name: str, protocol: int) -> ssl.SSLContext:
    """`DeploymentError` names the file that is missing, open to others, or not what it should be."""
    authority, own = folder.path / AUTHORITY_FILE, folder.node(name)
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cadata=read_file(authority).decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise DeploymentError(f"{authority}: expected the TLS authority's certificate, found: {error}") from None
    read_file(own / CERTIFICATE_FILE)
    read_secret(own / KEY_FILE)
    try:
        context.load_cert_chain(own / CERTIFICATE_FILE, own / KEY_FILE, password=_refuse_password)
    except (ssl.SSLError, ValueError) as error:
        raise DeploymentError(
            f"{own / CERTIFICATE_FILE}: expected a certificate and its key in {KEY_FILE}, found: {error}"
        ) from None
    return context


def _refuse_password() -> bytes:
    """Without this, OpenSSL would ask the terminal for the password of an encrypted key."""
    return b""


def peer_name(connection: ssl.SSLObject | ssl.SSLSocket) -> str:
    """The node that the peer's certificate names; empty if it showed none."""
    shown = connection.getpeercert(binary_form=True)
    if shown is None:
        return ""
    names = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""
