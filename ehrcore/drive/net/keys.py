"""Private keys as files: PKCS#8 in PEM (RFC 5958), for their owner alone, optionally under a passphrase.

Nodes start unattended, so theirs may also stand there as a scalar in hexadecimal.  A passphrase comes from a file, a
descriptor or the terminal, never from an argument, and is asked for only if a key needs it.
"""

import getpass
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ehrcore.crypto import Crypto
from ehrcore.der import OCTET_STRING, SEQUENCE, write_element, write_integer
from ehrcore.drive.net.files import read_secret, write_file
from ehrcore.errors import DeploymentError
from ehrcore.hashing import find_suite
from ehrcore.params import ChainParams
from ehrcore.signing import PrivateKey, find_scheme

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

SIGNING_FILE: Final = "signing.key"
WRAP_FILE: Final = "wrap.key"
#: A node under load has thousands of transactions under way, and meets each signature twice.
REMEMBERED_SIGNATURES: Final = 65_536
_LONGEST_PASSPHRASE: Final = 1_024
#: What `cryptography` calls the curves.
_CURVE_NAMES: Final = {"p256": "secp256r1", "secp256k1": "secp256k1"}
_PLAIN: Final = b"-----BEGIN PRIVATE KEY-----"
_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
#: Of PBKDF2, for each guess of a passphrase (OWASP, Password Storage Cheat Sheet, 2023): about 0.1 s.
ROUNDS: Final = 600_000
#: Object identifiers of RFC 8018, and of RFC 3565, in DER.
_PBES2, _PBKDF2 = bytes.fromhex("06092a864886f70d01050d"), bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256, _AES256_CBC = bytes.fromhex("06082a864886f70d02090500"), bytes.fromhex("060960864801650304012a")


class Passphrase:
    """Where a passphrase comes from: a file of its owner's alone, a descriptor, or (without either) the terminal."""

    def __init__(self, path: Path | None = None, descriptor: int | None = None) -> None:
        self._path, self._descriptor = path, descriptor
        self._known: dict[str, bytes] = {}

    def read(self, what: str, *, is_new: bool = False) -> bytes:
        """The passphrase of ``what``, asked for once; a new one has to be said twice.

        `DeploymentError` if it is empty, too long, or there is nowhere to ask.
        """
        # What is not asked for is one for all, and a descriptor gives it once.
        name = what if self._path is None and self._descriptor is None else ""
        if name not in self._known:
            self._known[name] = self._fetch(what, is_new=is_new)
        return self._known[name]

    def _fetch(self, what: str, *, is_new: bool) -> bytes:
        if self._path is not None:
            found, source = read_secret(self._path), str(self._path)
        elif self._descriptor is not None:
            found, source = _drain(self._descriptor), f"descriptor {self._descriptor}"
        else:
            found, source = _ask(f"passphrase of {what}: "), "terminal"
            if is_new and _ask("again: ") != found:
                raise DeploymentError("terminal: expected the same passphrase twice, found two")
        found = found.removesuffix(b"\n").removesuffix(b"\r")
        if not 1 <= len(found) <= _LONGEST_PASSPHRASE:
            raise DeploymentError(
                f"{source}: expected a passphrase of 1 to {_LONGEST_PASSPHRASE} bytes, found {len(found)}"
            )
        return found


_chosen: list[Passphrase] = [Passphrase()]


def choose_passphrase(path: Path | None = None, descriptor: int | None = None) -> None:
    """From where this process gets passphrases that no caller of the readers below gives."""
    _chosen[:] = [Passphrase(path, descriptor)]


def _drain(descriptor: int) -> bytes:
    """All that comes until the writer closes it, or too much."""
    data = b""
    try:
        while len(data) <= _LONGEST_PASSPHRASE and (more := os.read(descriptor, _LONGEST_PASSPHRASE + 3)):
            data += more
    except OSError as error:
        raise DeploymentError(
            f"descriptor {descriptor}: expected one that can be read, found: {error.strerror}"
        ) from None
    return data


def _ask(prompt: str) -> bytes:
    try:
        # Without a terminal `getpass` would read, and show, standard input.
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        raise DeploymentError("passphrase: expected --passphrase-file or a terminal to ask at, found neither") from None
    try:
        return getpass.getpass(prompt).encode()
    except EOFError:
        return b""


def kept_passphrase(home: Path, passphrase: Passphrase | None = None) -> bytes | None:
    """What the signing key in ``home`` is encrypted with, as it was given to open it; None if it is not encrypted."""
    if not read_secret(home / SIGNING_FILE).startswith(_ENCRYPTED):
        return None
    return (passphrase or _chosen[0]).read(_name(home))


def _name(home: Path) -> str:
    return f"the keys in {home}"


def write_key(path: Path, key: Any, passphrase: bytes | None = None) -> None:
    """Write a private key of `cryptography`, encrypted if there is a passphrase."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - most commands write no key
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    encoding = Encoding.DER if passphrase else Encoding.PEM
    data: bytes = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    write_file(path, _encrypt(data, passphrase) if passphrase else data, is_secret=True)


def _encrypt(der: bytes, passphrase: bytes) -> bytes:
    """PEM of ``der`` under PBES2 (RFC 8018): PBKDF2 with HMAC-SHA-256, and AES-256 in CBC mode.

    OpenSSL's own default is 2,048 rounds, too few for what somebody may take home and guess at.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415
    from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415

    from ehrcore.x509_parts import to_pem  # noqa: PLC0415

    salt, iv = os.urandom(16), os.urandom(16)
    padder, cipher = PKCS7(128).padder(), algorithms.AES256(hashlib.pbkdf2_hmac("sha256", passphrase, salt, ROUNDS, 32))
    encryptor = Cipher(cipher, modes.CBC(iv)).encryptor()
    sealed = encryptor.update(padder.update(der) + padder.finalize()) + encryptor.finalize()
    stretched = write_element(OCTET_STRING, salt) + write_integer(ROUNDS) + write_element(SEQUENCE, _HMAC_SHA256)
    function = write_element(SEQUENCE, _PBKDF2 + write_element(SEQUENCE, stretched))
    scheme = write_element(SEQUENCE, _AES256_CBC + write_element(OCTET_STRING, iv))
    algorithm = write_element(SEQUENCE, _PBES2 + write_element(SEQUENCE, function + scheme))
    return to_pem("ENCRYPTED PRIVATE KEY", write_element(SEQUENCE, algorithm + write_element(OCTET_STRING, sealed)))


def read_scalar(path: Path, curve: str, passphrase: Passphrase | None = None) -> int:
    """The secret scalar of a signing key on ``curve``, from PEM or hexadecimal.

    `DeploymentError` for a file that others may read, a key of another kind, or another passphrase.
    """
    data = read_secret(path)
    if not data.startswith((_PLAIN, _ENCRYPTED)):
        try:
            return int(data, 16)
        except ValueError:
            raise DeploymentError(f"{path}: expected a private key, found something else") from None
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - nodes' keys are hexadecimal

    key = _load(path, data, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != _CURVE_NAMES[curve]:
        raise DeploymentError(f"{path}: expected a key on {curve}, found another kind")
    return key.private_numbers().private_value


def open_signer(path: Path, params: ChainParams, passphrase: Passphrase | None = None) -> tuple[PrivateKey, Crypto]:
    """The signing key in a file, and the cryptography of its owner on a chain; errors as for `read_scalar`."""
    scheme = find_scheme(f"{params.curve}/cryptography")
    key = scheme.private_key(read_scalar(path, params.curve, passphrase))
    return key, Crypto(find_suite(params.hash_suite), scheme, key, REMEMBERED_SIGNATURES)


def read_wrap_key(path: Path, passphrase: Passphrase | None = None) -> "X25519PrivateKey":
    """The X25519 key that secrets are sealed to, from PEM or hexadecimal; errors as for `read_scalar`."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    data = read_secret(path)
    if data.startswith((_PLAIN, _ENCRYPTED)):
        key = _load(path, data, passphrase)
        if not isinstance(key, X25519PrivateKey):
            raise DeploymentError(f"{path}: expected an X25519 key, found another kind")
        return key
    try:
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(data.decode()))
    except ValueError:
        raise DeploymentError(f"{path}: expected an X25519 key, found something else") from None


def _load(path: Path, data: bytes, passphrase: Passphrase | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    is_encrypted = data.startswith(_ENCRYPTED)
    password = (passphrase or _chosen[0]).read(_name(path.parent)) if is_encrypted else None
    try:
        return load_pem_private_key(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = "the key's passphrase" if is_encrypted else "a private key"
        raise DeploymentError(f"{path}: expected {what}, found another") from None
