"""Persons and devices: their own files, and the authority's directory that alone says who is who.

On the chain a person is an opaque name in role visitor, with a capacity; below ``persons/ALIAS`` lie their keys and
their certificate.  An alias is a local name and never leaves this host.
"""

import fcntl
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from ehrcore.consent import Organisation
from ehrcore.crypto import Crypto
from ehrcore.drive.net.files import indented, open_lock, read_file, read_json, write_file
from ehrcore.drive.net.keys import SIGNING_FILE, WRAP_FILE, Passphrase, open_signer, read_wrap_key, write_key
from ehrcore.drive.net.plan import CERTIFICATE_FILE, NetworkFolder, NetworkPlan
from ehrcore.errors import DeploymentError, IdentityError
from ehrcore.identity import Capacity, CertificateBody
from ehrcore.signing import PrivateKey, find_scheme
from ehrcore.types import NodeId, Role

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from ehrcore.x509 import Issuer

SUBJECT_FILE: Final = "subject"
DIRECTORY_FILE: Final = "persons.json"
#: Keys whose certificate is not final yet lie in this folder.
NEXT: Final = "next"
_DIRECTORY_BYTES: Final = 1 << 30
_ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SUBJECT: Final = re.compile(r"person-[0-9a-f]{16}")
_RESERVED: Final = re.compile(rf"({'|'.join(Role)})(-\d+)?")


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever acts: ``subject`` is the name on the chain, ``alias`` the local one; ``crypto`` signs with ``key``."""

    subject: str
    alias: str
    key: PrivateKey
    wrap_key: "X25519PrivateKey"
    crypto: Crypto


def check_alias(alias: str) -> str:
    """Return ``alias`` if it can name a person; `DeploymentError` if not, or if it is a node's name."""
    if not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias) or _SUBJECT.fullmatch(alias):
        raise DeploymentError(
            f"ALIAS: expected 1 to 64 of a-z, 0-9, '.', '_', '-' and no node's name, found {alias[:80]!r}"
        )
    return alias


def home_of(folder: NetworkFolder, plan: NetworkPlan, alias: str) -> Path:
    """Where the keys of a person, or of a node, lie; `DeploymentError` if they are not on this host."""
    home = _home(folder, plan, alias)
    if not (home / SIGNING_FILE).exists():
        raise _unknown(folder, alias)
    return home


def _home(folder: NetworkFolder, plan: NetworkPlan, alias: str) -> Path:
    return folder.node(alias) if alias in plan.nodes else folder.path / "persons" / check_alias(alias)


def _unknown(folder: NetworkFolder, alias: str) -> DeploymentError:
    here = sorted(path.parent.name for path in (folder.path / "persons").glob(f"*/{SUBJECT_FILE}"))
    some = f"{', '.join(here[:8])}{', ...' if len(here) > 8 else ''}" if here else "nobody yet: ehrcore person enrol"  # noqa: PLR2004 - a line
    return DeploymentError(f"{alias}: expected a person with files on this host ({some}) or a node, found neither")


def open_person(folder: NetworkFolder, plan: NetworkPlan, alias: str, passphrase: Passphrase | None = None) -> Person:
    """A person by alias, or a node by name, with its keys; a passphrase is asked for if they are encrypted.

    `DeploymentError` names the file that is missing, open to others, or not what it should be.
    """
    home, params = home_of(folder, plan, alias), plan.open_genesis().params
    subject = alias if alias in plan.nodes else _read_subject(home / SUBJECT_FILE)
    key, crypto = open_signer(home / SIGNING_FILE, params, passphrase)
    return Person(subject, alias, key, read_wrap_key(home / WRAP_FILE, passphrase), crypto)


def open_issuer(folder: NetworkFolder, plan: NetworkPlan, *, is_signing: bool = False) -> "Issuer":
    """What reads the network's X.509, and signs it if asked to: then where the authority's folder is."""
    from ehrcore.x509 import Issuer  # noqa: PLC0415 - X.509 is slow to import

    params = plan.open_genesis().params
    key = open_signer(folder.authority / SIGNING_FILE, params)[0] if is_signing else None
    return Issuer(params.name, params.curve, params.authority_key, key)


def read_certificate(folder: NetworkFolder, plan: NetworkPlan, alias: str) -> tuple[CertificateBody, bytes]:
    """What a person, or a node, is certified for by the file that lies here, and its DER; errors name the file."""
    from ehrcore.x509_parts import from_pem  # noqa: PLC0415

    path = _home(folder, plan, alias) / CERTIFICATE_FILE
    if not path.parent.exists():
        raise _unknown(folder, alias)
    data = read_file(path, 1 << 16)
    try:
        der = from_pem("CERTIFICATE", data)
        return open_issuer(folder, plan).read_certificate(der), der
    except IdentityError as error:
        raise DeploymentError(f"{path}: {error}") from None


def subject_of(folder: NetworkFolder, plan: NetworkPlan, alias: str) -> str:
    """The name on the chain of a person or node; a name of the chain itself is one, too, for who is not known here."""
    if alias in plan.nodes or _SUBJECT.fullmatch(alias):
        return alias
    path = _home(folder, plan, alias) / SUBJECT_FILE
    if not path.exists():
        raise _unknown(folder, alias)
    return _read_subject(path)


def _read_subject(path: Path) -> str:
    try:
        return msgspec.convert(read_file(path, 128).decode().removesuffix("\n"), NodeId)
    except (msgspec.ValidationError, UnicodeDecodeError):
        raise DeploymentError(f"{path}: expected a subject's name, found something else") from None


def pseudonym_of(folder: NetworkFolder, plan: NetworkPlan, alias: str) -> bytes:
    """A patient's own pseudonym, by the certificate that lies here."""
    body, _ = read_certificate(folder, plan, alias)
    if not body.pseudonym:
        raise DeploymentError(f"--as: expected a patient, found {alias}, who is none")
    return body.pseudonym


def known_aliases(folder: NetworkFolder, plan: NetworkPlan) -> dict[str, str]:
    """Aliases by subject: of persons whose files lie here, and, where the authority's folder is, of everybody."""
    paths = (folder.path / "persons").glob("*/subject")
    found = {path.read_text(errors="replace").strip(): path.parent.name for path in paths}
    if folder.authority.exists():
        found |= {entry.subject: alias for alias, entry in read_directory(folder, plan).persons.items()}
    return found


def check_organisation(name: str, text: str) -> str:
    """An organisation's name; `DeploymentError` names the argument ``name`` that is none."""
    try:
        return msgspec.convert(text, Organisation)
    except msgspec.ValidationError:
        raise DeploymentError(f"{name}: expected 1 to 64 of a-z, 0-9, '.', '-', found {text[:80]!r}") from None


def make_keys(home: Path, curve: str, passphrase: bytes | None = None) -> tuple[PrivateKey, bytes]:
    """New random keys in ``home``; the signing key, and the public half of the wrap key."""
    from cryptography.hazmat.primitives.asymmetric import ec, x25519  # noqa: PLC0415 - few commands make keys

    _make_folder(home)
    signing = ec.generate_private_key({"p256": ec.SECP256R1, "secp256k1": ec.SECP256K1}[curve]())
    wrap = x25519.X25519PrivateKey.generate()
    write_key(home / SIGNING_FILE, signing, passphrase)
    write_key(home / WRAP_FILE, wrap, passphrase)
    scalar = signing.private_numbers().private_value
    return find_scheme(f"{curve}/cryptography").private_key(scalar), wrap.public_key().public_bytes_raw()


def _make_folder(home: Path) -> None:
    """With its parents, each its owner's alone: `Path.mkdir` would see to the last one only."""
    try:
        for path in reversed((home, *home.parents)):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DeploymentError(f"{home}: expected a folder that can be made, found: {error.strerror}") from None


def promote(home: Path) -> None:
    """Put the files in ``home/next`` in the place of those in ``home``, now that their certificate is in force.

    A wrap key that was there stays beside the new one: secrets may be sealed to it.
    """
    wrap = home / WRAP_FILE
    if wrap.exists():
        number = next(n for n in range(1, 1 << 20) if not home.joinpath(f"{WRAP_FILE}.old-{n}").exists())
        wrap.rename(home / f"{WRAP_FILE}.old-{number}")
    for path in sorted((home / NEXT).iterdir()):
        path.rename(home / path.name)
    (home / NEXT).rmdir()


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the authority knows of a person: ``serials`` in order, the last one being the present certificate's.

    ``height`` is where that became final; None while it is not.  ``patient`` is the id that a pseudonym is made of.
    """

    subject: NodeId
    capacity: Capacity
    organisation: str
    patient: str
    kinds: tuple[int, ...]
    serials: tuple[int, ...]
    height: int | None = None
    is_revoked: bool = False


class Directory(msgspec.Struct, forbid_unknown_fields=True):
    """Who is who.  Serials are never used twice, whatever becomes of an order."""

    next_serial: Annotated[int, msgspec.Meta(ge=1)]
    persons: dict[str, Entry] = {}

    def take_serial(self) -> int:
        self.next_serial += 1
        return self.next_serial - 1

    def find(self, alias: str) -> Entry:
        """The person called ``alias``; `DeploymentError` if there is none."""
        if alias not in self.persons:
            raise DeploymentError(f"ALIAS: expected a person who is enrolled, found {alias[:80]!r}")
        return self.persons[alias]


def new_subject() -> str:
    """A name for a person on the chain that says nothing about them."""
    return f"person-{secrets.token_hex(8)}"


def read_directory(folder: NetworkFolder, plan: NetworkPlan) -> Directory:
    """The authority's directory; without a file, nobody but the nodes has been certified."""
    path = folder.authority / DIRECTORY_FILE
    if not path.exists():
        return Directory(1 + max(item.body.serial for item in plan.open_genesis().certificates))
    return read_json(path, Directory, "the directory of persons", _DIRECTORY_BYTES, is_secret=True)


@contextmanager
def change_directory(folder: NetworkFolder, plan: NetworkPlan) -> Iterator[Directory]:
    """The directory, to be changed by one at a time; written at the end unless an error is raised."""
    if not folder.authority.exists():
        raise DeploymentError(f"{folder.authority}: expected the authority, who knows persons, on this host")
    with open_lock(folder.authority / "persons.lock") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        directory = read_directory(folder, plan)
        yield directory
        write_file(folder.authority / DIRECTORY_FILE, indented(directory, 1), is_secret=True)
