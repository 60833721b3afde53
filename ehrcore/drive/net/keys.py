"""Private keys as files: PKCS#8 in PEM (RFC 5958), for their owner alone, optionally under a passphrase.

Nodes start unattended, so theirs may also stand there as a scalar in hexadecimal.  A passphrase comes from a file, a
descriptor or the terminal, never from an argument, and is asked for only if a key needs it.
"""

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ehrcore.drive.net.files import read_secret, write_file
from ehrcore.errors import DeploymentError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

SIGNING_FILE: Final = "signing.key"
WRAP_FILE: Final = "wrap.key"
_LONGEST_PASSPHRASE: Final = 1_024
#: What `cryptography` calls the curves.
_CURVE_NAMES: Final = {"p256": "secp256r1", "secp256k1": "secp256k1"}
_PLAIN: Final = b"-----BEGIN PRIVATE KEY-----"
_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


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
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - most commands write no key

    cipher = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
    write_file(path, pem, is_secret=True)


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
