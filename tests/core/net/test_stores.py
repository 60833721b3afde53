"""Stores: the embedded one and a real S3 server keep the same promises; what goes wrong is one line without secrets."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ehrcore.block import RecordRef
from ehrcore.contracts import look_up
from ehrcore.crypto import Crypto
from ehrcore.drive.net.objects import MAX_WHOLE_BYTES, FileStore, Store
from ehrcore.drive.net.plan import STORE_FILE, NetworkConfig, NetworkFolder, StoreConfig, found
from ehrcore.drive.net.stores import CREDENTIALS_FILE, PART_BYTES, connect, open_store
from ehrcore.drive.net.vault import put_sealed
from ehrcore.errors import DeploymentError, StorageError
from ehrcore.hashing import find_suite
from ehrcore.records import RecordKind, locate
from ehrcore.sealing import open_stream, record_context, seal, sealed_size
from ehrcore.signing import find_scheme
from tests import s3

ROOT = Path(__file__).parents[3]
SUITE = find_suite("sha256")
KEY, PSEUDONYM = bytes(range(32)), bytes(32)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator["s3.S3Server"]:
    with s3.serve_s3(tmp_path_factory.mktemp("s3") / "served") as server:
        yield server


def config_of(url: str, **options: object) -> StoreConfig:
    return StoreConfig(f"s3://{s3.BUCKET}/network-1", url, "us-east-1", **({"timeout_s": 2} | options))


@pytest.fixture(scope="module", params=["files", "s3"])
def store(request, tmp_path_factory) -> Store:
    if request.param == "files":
        return FileStore(tmp_path_factory.mktemp("store") / "objects")
    return connect(config_of(request.getfixturevalue("server").url), s3.CREDENTIALS)


def line_of(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert s3.SECRET not in text
    assert s3.SECRET not in repr(error.value.__cause__) + repr(error.value.__context__ if error.value.__cause__ else "")
    return text


# -- the same promises -----------------------------------------------------------------------------------------------


@given(st.text(max_size=200), st.binary(max_size=200))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_put_is_got_until_it_is_deleted(store: Store, location: str, body: bytes) -> None:
    store.put(location, body)
    assert store.get(location) == body
    assert b"".join(store.open(location) or ()) == body
    store.delete(location)
    store.delete(location)
    assert (store.get(location), store.open(location)) == (None, None)


def test_nothing_is_there_until_it_is_put_and_the_last_one_counts(store: Store) -> None:
    assert (store.get("/a"), store.open("/a")) == (None, None)
    store.put("/a", b"1")
    assert store.put_stream("/a", iter([b"2", b"", b"34"])) == 3
    assert store.get("/a") == b"234"
    assert store.put_stream("/empty", ()) == 0
    assert store.get("/empty") == b""


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, MAX_WHOLE_BYTES, MAX_WHOLE_BYTES + 1])
def test_sizes_around_the_limits(store: Store, size: int) -> None:
    pieces = [bytes([size % 251]) * 700_001] * (size // 700_001) + [b"x" * (size % 700_001)]
    assert store.put_stream("/sizes", pieces) == size
    assert store.get("/sizes") == (b"".join(pieces) if size <= MAX_WHOLE_BYTES else None)
    assert sum(map(len, store.open("/sizes") or ())) == size
    if size <= PART_BYTES + 1:
        store.put("/sizes", b"".join(pieces))
        assert store.get("/sizes") == b"".join(pieces)


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_nothing_is_seen_of_an_upload_before_its_end_nor_of_one_that_fails(store: Store, before) -> None:
    store.delete("/whole")
    if before is not None:
        store.put("/whole", before)

    def chunks(last: bytes) -> Iterator[bytes]:
        for _ in range(3):
            yield bytes(PART_BYTES)
            assert store.get("/whole") == before
        yield last
        if not last:
            raise StorageError("the source: expected more, found its end")

    with pytest.raises(StorageError, match=r"^the source: expected more"):
        store.put_stream("/whole", chunks(b""))
    assert store.get("/whole") == before
    assert store.put_stream("/whole", chunks(b"end")) == 3 * PART_BYTES + 3
    assert len(store.get("/whole") or b"") == 3 * PART_BYTES + 3


# -- records in them -------------------------------------------------------------------------------------------------


def put(store: Store, plain: bytes, read=None) -> RecordRef:
    return put_sealed(store, SUITE, KEY, RecordKind.BILL, PSEUDONYM, read or (lambda: (plain,)))


def take(store: Store, reference: RecordRef) -> bytes:
    return b"".join(open_stream(KEY, record_context(RecordKind.BILL, PSEUDONYM), store.open(reference.location) or ()))


@pytest.mark.parametrize("size", [0, 1_000, 3_000_000])
def test_a_record_goes_in_sealed_and_comes_out(store: Store, size: int) -> None:
    plain = os.urandom(size)
    reference = put(store, plain)
    sealed = store.get(reference.location)
    assert reference == RecordRef(
        3, PSEUDONYM, SUITE.hash(sealed), locate(RecordKind.BILL, SUITE.hash(sealed).hex()), sealed_size(size)
    )
    assert take(store, reference) == plain
    crypto = Crypto(SUITE, find_scheme("p256/cryptography"))
    assert look_up(crypto, store, reference) == reference.digest
    assert (crypto.meter.hashes, crypto.meter.hashed_bytes) == (1, len(sealed))


def test_an_object_goes_from_store_to_store(server, tmp_path: Path) -> None:
    """One may be read while another is written, of the same kind or not."""
    stores = [connect(StoreConfig(f"s3://records/{name}", server.url, "us-east-1"), s3.CREDENTIALS) for name in "ab"]
    stores = [stores[0], stores[1], FileStore(tmp_path), stores[0]]
    stores[0].put("/0", os.urandom(12_000_000))
    for step, (source, to) in enumerate(pairwise(stores)):
        to.put_stream(f"/{step + 1}", source.open(f"/{step}") or ())
    assert stores[0].get("/3") == stores[0].get("/0")


def test_a_source_that_changes_while_it_is_read_is_refused(store: Store) -> None:
    contents = iter([b"before", b"after!"])
    with pytest.raises(StorageError, match=r": expected the object that was declared, found another$") as error:
        put(store, b"", lambda: (next(contents),))
    assert store.get(str(error.value).partition(":")[0]) is None


@pytest.mark.parametrize("size", [100, 2_000_000])
@pytest.mark.parametrize("change", ["missing", "swapped", "shorter", "longer", "flipped"])
def test_what_a_malicious_store_does_is_found(store: Store, size: int, change: str) -> None:
    reference = put(store, bytes(size))
    good = store.get(reference.location)
    other = seal(bytes(32), b"", bytes(size))
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    bodies = {"swapped": other, "shorter": good[:-1], "longer": good + b"\0", "flipped": flipped}
    store.delete(reference.location)
    if change in bodies:
        store.put(reference.location, bodies[change])
    crypto = Crypto(SUITE, find_scheme("p256/cryptography"))
    assert look_up(crypto, store, reference) is None
    with pytest.raises(StorageError, match=": expected "):
        take(store, reference)


# -- a server that is not as it should be ----------------------------------------------------------------------------


def test_a_name_in_the_bucket_tells_nothing_of_what_it_holds(server) -> None:
    store = connect(StoreConfig(f"s3://{s3.BUCKET}/a/b", server.url, "us-east-1"), s3.CREDENTIALS)
    put(store, b"amoxicillin")
    (path,) = [path for path in server.objects if path.is_relative_to(server.folder / s3.BUCKET / "a/b")]
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{62}", str(path.relative_to(server.folder / s3.BUCKET / "a/b")))
    assert b"amoxicillin" not in path.read_bytes()


@pytest.mark.parametrize("key", [{"access_key_id": "x"}, {"secret_access_key": s3.SECRET + "!"}])
def test_who_has_no_right_reads_and_writes_nothing(server, key) -> None:
    store = connect(config_of(server.url), s3.CREDENTIALS | key)
    for action in (store.get, store.open, lambda location: store.put(location, b"x"), store.delete):
        with pytest.raises(StorageError) as error:
            action("/a")
        assert line_of(error) == "/a: expected an answer of the store s3://records/network-1, found no permission"


def test_a_bucket_that_is_missing_keeps_nothing(server) -> None:
    store = connect(StoreConfig("s3://nobody", server.url, "us-east-1"), s3.CREDENTIALS)
    assert (store.get("/a"), store.open("/a")) == (None, None)
    for action in (lambda: store.put("/a", b"x"), lambda: store.put_stream("/a", (b"x",))):
        with pytest.raises(StorageError) as error:
            action()
        assert line_of(error) == "/a: expected a place in the store s3://nobody, found none"


def test_a_server_that_is_down_is_one_line_and_is_found_again_when_it_is_up(tmp_path: Path) -> None:
    crypto = Crypto(SUITE, find_scheme("p256/cryptography"))
    with s3.serve_s3(tmp_path / "served") as server:
        url = server.url
        store = connect(config_of(url), s3.CREDENTIALS)
        reference = put(store, b"x")
        server.stop()
        for action in (store.get, lambda location: store.put_stream(location, (b"x",))):
            with pytest.raises(StorageError) as error:
                action("/a")
            assert line_of(error) == "/a: expected an answer of the store s3://records/network-1, found none"
        assert look_up(crypto, store, reference) is None  # refused, and no harm to the node
    with s3.serve_s3(tmp_path / "served", url.removeprefix("http://")):
        assert look_up(crypto, store, reference) == reference.digest


PART = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\nETag: x\r\nLast-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\n\r\npart"


@pytest.mark.parametrize("said", [b"", PART, b"nonsense\r\n\r\n"], ids=["nothing", "a part", "nonsense"])
@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "hangs up"])
def test_a_server_that_stops_in_the_middle_holds_nobody_for_long(said: bytes, hangs: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    peer = listener.accept()[0]
                except OSError:
                    return
                peer.recv(1 << 16)
                peer.sendall(said)
                held.append(peer) if hangs else peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        store = connect(config_of(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=1), s3.CREDENTIALS)
        with pytest.raises(StorageError) as error:
            list(store.open("/a") or ())
        assert line_of(error).endswith("found none")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for peer in held:
        peer.close()


# -- which store -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    found(tmp_path / "network", NetworkConfig(), 5)
    return NetworkFolder(tmp_path / "network")


def test_without_a_description_objects_are_files_of_the_network(folder: NetworkFolder) -> None:
    open_store(folder).put("/a", b"x")
    assert FileStore(folder.objects).get("/a") == b"x"


def test_a_described_store_is_used_with_the_secrets_of_its_own_file(folder: NetworkFolder, server) -> None:
    (folder.path / STORE_FILE).write_bytes(msgspec.json.encode(config_of(server.url)))
    secrets = folder.path / CREDENTIALS_FILE
    secrets.write_bytes(msgspec.json.encode(s3.CREDENTIALS))
    secrets.chmod(0o644)
    with pytest.raises(DeploymentError, match="expected a secret that its owner alone may read"):
        open_store(folder)
    secrets.chmod(0o600)
    open_store(folder).put("/described", b"x")
    assert connect(config_of(server.url), s3.CREDENTIALS).get("/described") == b"x"
    assert not list(folder.objects.iterdir())
    secrets.write_text('["not", "an", "object"]')
    with pytest.raises(DeploymentError, match=f"^{secrets}: expected an object of names and texts"):
        open_store(folder)


def test_a_network_is_founded_with_its_store_and_the_plan_is_the_same(tmp_path: Path) -> None:
    shared = StoreConfig(f"file://{tmp_path}/shared")
    plans = [found(tmp_path / name, NetworkConfig(store=kept), 5, "x") for name, kept in (("a", None), ("b", shared))]
    assert plans[0] == plans[1]  # each host's own affair
    open_store(NetworkFolder(tmp_path / "b")).put("/a", b"x")
    assert FileStore(tmp_path / "shared").get("/a") == b"x"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "found ''"),
        ("records", "found 'records'"),
        ("file://host/folder", "found 'file://host/folder'"),
        ("file:folder", "found 'file:folder'"),
        ("s3://", "found 's3://'"),
        ("ftp://host/folder", "found 'ftp://host/folder'"),
        ("s3://user:hunter2@bucket", "expected a URL without credentials or options"),
        ("s3://bucket?secret=hunter2", "expected a URL without credentials or options"),
    ],
)
def test_a_url_that_is_no_store(url: str, expected: str) -> None:
    with pytest.raises(DeploymentError, match=r"^store: expected ") as error:
        connect(StoreConfig(url))
    assert expected in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "s3://b", "key": "x"}', '{"url": "s3://b", "timeout_s": 0}'])
def test_a_description_that_is_none(folder: NetworkFolder, text: str) -> None:
    (folder.path / STORE_FILE).write_text(text)
    with pytest.raises(DeploymentError, match=f"^{folder.path / STORE_FILE}: expected a store, found: "):
        open_store(folder)


def test_options_that_do_not_fit_are_refused_without_showing_them() -> None:
    for secrets in ({"bogus": "hunter2"}, {"secret_access_key": "hunter2", "skip_signature": "hunter2"}):
        with pytest.raises(DeploymentError, match=r"^store s3://b: expected options that fit it, found others$"):
            connect(StoreConfig("s3://b"), secrets)


def test_without_the_optional_package_it_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(DeploymentError, match="the optional package 'obstore' is not installed"):
        connect(StoreConfig("s3://bucket"))


# -- larger than memory ----------------------------------------------------------------------------------------------

SCRIPT = """
import resource, sys
from ehrcore.block import RecordRef
from ehrcore.contracts import look_up
from ehrcore.crypto import Crypto
from ehrcore.drive.net.plan import StoreConfig
from ehrcore.drive.net.stores import connect
from ehrcore.drive.net.vault import put_sealed
from ehrcore.hashing import find_suite
from ehrcore.records import RecordKind
from ehrcore.sealing import open_stream, record_context
from ehrcore.signing import find_scheme

def peak():
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib << 10 if sys.platform == "linux" else kib

def use(size):
    chunks = lambda: (b"scan" * 25_000 for _ in range(size // 100_000))
    reference = put_sealed(store, suite, bytes(32), RecordKind.DIAGNOSTIC_REPORT, bytes(32), chunks)
    crypto = Crypto(suite, find_scheme("p256/cryptography"))
    assert look_up(crypto, store, reference) == reference.digest
    context = record_context(reference.kind, reference.pseudonym)
    assert sum(map(len, open_stream(bytes(32), context, store.open(reference.location)))) == size
    store.delete(reference.location)

url, endpoint = sys.argv[1:]
store, suite = connect(StoreConfig(url, endpoint, "us-east-1")), find_suite("sha256")
use(20_000_000)
before = peak()
use(80_000_000)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["files", "s3"])
def test_80_mb_go_in_and_out_with_little_memory(kind: str, server, tmp_path: Path) -> None:
    url = f"file://{tmp_path}" if kind == "files" else f"s3://{s3.BUCKET}/large"
    secrets = {f"AWS_{name.upper()}": value for name, value in s3.CREDENTIALS.items()}
    environment = os.environ | secrets | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", SCRIPT, url, server.url]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 24 << 20
