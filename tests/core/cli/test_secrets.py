"""No secret of a running network is anywhere but in its own file: not in logs, outputs, arguments or environments."""

import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PASSPHRASE = b"correct-horse-battery-staple"
PATIENT = "patient-of-the-secrets-test"


def is_secret(path: Path) -> bool:
    return path.suffix == ".key" or path.name.endswith(".key.pem") or path.name == "passphrase"


def secrets_of(path: Path) -> set[bytes]:
    """The secret bytes in a key file, hexadecimal or PEM."""
    data = path.read_bytes().strip()
    if data == PASSPHRASE:
        return {data}
    if not data.startswith(b"-----BEGIN"):
        return {bytes.fromhex(data.decode())}
    key = load_pem_private_key(data, PASSPHRASE if b"ENCRYPTED" in data.split(b"\n")[0] else None)
    if isinstance(key, EllipticCurvePrivateKey):
        scalar = key.private_numbers().private_value
        return {scalar.to_bytes((key.curve.key_size + 7) // 8)}
    return {key.private_bytes_raw()}


def spellings(secret: bytes) -> Iterator[bytes]:
    """All the ways in which a secret could be written out."""
    number = int.from_bytes(secret)
    texts = [secret.hex(), secret.hex().upper(), str(number), f"{number:x}", repr(secret)[2:-1]]
    texts += [coded.decode().rstrip("=") for coded in (base64.b64encode(secret), base64.urlsafe_b64encode(secret))]
    texts += [base64.b64encode(bytes(pad) + secret).decode()[4:-4] for pad in range(3)]
    return iter({secret, *(text.encode() for text in texts if len(text) > 15)})


def leaks(secrets: dict[Path, set[bytes]], where: str, data: bytes, but: Path | None = None) -> list[str]:
    return [
        f"{path.name} of {path.parent.name} in {where}"
        for path, held in secrets.items()
        if path != but and any(spelt in data for secret in held for spelt in spellings(secret))
    ]


def test_every_spelling_of_a_planted_secret_is_found(tmp_path: Path) -> None:
    secret = bytes(range(7, 39))
    held = {tmp_path / "x.key": {secret}}
    for spelt in (secret.hex(), base64.b64encode(b"ab" + secret).decode(), str(int.from_bytes(secret)), f"{secret!r}"):
        assert leaks(held, "log", f"error: found {spelt}, which is wrong".encode())
    assert leaks(held, "log", b"\0\1" + secret)
    assert not leaks(held, "log", secret[:-1] + secret[1:])


def write_record(path: Path) -> Path:
    resource = {"resourceType": "Observation", "status": "final", "subject": {"reference": f"Patient/{PATIENT}"}}
    path.write_text(json.dumps(resource))
    return path


@pytest.mark.slow
def test_no_secret_is_anywhere_but_in_its_own_file(started: Callable[..., Path], process, tmp_path: Path) -> None:
    said: dict[str, str] = {}

    def call(*words: object, code: int | None = 0) -> str:
        done = process(*words)
        said[" ".join(map(str, words))] = done.out + done.err
        assert code is None or done.code == code, (words, done.err)
        return done.out

    folder = started("--tls", "--contributors", "2")
    where, (right, wrong) = ("--folder", folder), (tmp_path / "passphrase", tmp_path / "wrong")
    right.write_bytes(PASSPHRASE)
    wrong.write_bytes(b"not the passphrase")
    for path in (right, wrong):
        path.chmod(0o600)
    call("person", "enrol", "alice", "--patient", PATIENT, "--new-passphrase-file", right, *where)
    secrets = {path: secrets_of(path) for path in (*folder.rglob("*"), right) if path.is_file() and is_secret(path)}
    assert {path.name for path in secrets} >= {"signing.key", "link.key", "wrap.key", "pseudonyms.key", "tls.key"}
    assert len(secrets) > 15
    pids = {name: node["pid"] for name, node in json.loads(call("status", "--json", *where)).items() if node}

    assert set(pids) > {"agent-0", "contributor-1"}
    processes = [Path("/proc") / str(pid) / part for pid in pids.values() for part in ("cmdline", "environ")]
    found = [leak for path in processes for leak in leaks(secrets, str(path), path.read_bytes())]

    # What works, and what is made to fail.
    (tx_id, *_) = call("submit", write_record(tmp_path / "record.json"), *where).split()
    asked = ("read", tx_id, "--as", "alice", "--purpose", "PATRQT", "-o", tmp_path / "out.json", *where)
    call(*asked, "--passphrase-file", right)
    call(*asked, "--passphrase-file", wrong, code=2)
    key = folder / "nodes" / "visitor-0" / "signing.key"
    kept, other = key.read_bytes(), (folder / "nodes" / "agent-0" / "signing.key").read_bytes()
    for bad in (other, b"zz" + kept[2:]):
        key.write_bytes(bad)
        call("submit", tmp_path / "record.json", *where, code=2)
    key.write_bytes(kept)
    os.kill(pids["contributor-1"], signal.SIGKILL)
    call("status", *where, code=1)
    spoilt = folder / "nodes" / "contributor-1" / "link.key"
    kept = spoilt.read_bytes()
    spoilt.write_bytes(b"zz" + kept[2:])
    call("network", "up", "--detach", "--only", "contributor-1", *where, code=None)
    spoilt.write_bytes(kept)

    found += [leak for words, text in said.items() for leak in leaks(secrets, f"the output of {words}", text.encode())]
    files = [path for path in (*folder.rglob("*"), tmp_path / "out.json") if path.is_file()]
    assert any(path.suffix == ".log" or "log" in path.name for path in files)
    for path in files:
        found += leaks(secrets, str(path.relative_to(tmp_path)), path.read_bytes(), path)
        if is_secret(path):
            assert path.stat().st_mode & 0o077 == 0, path
    assert not found
