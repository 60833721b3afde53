"""Whatever bytes come, every parser of the project takes them or says what is wrong with them, and does so at once.

`PARSERS` lists all of them, each with valid bytes to begin from and the places in the source that it leads to; `EXEMPT`
names the places that decode what nobody else can have written.  A place that is in neither fails the guard at the end.
"""

import argparse
import ast
import asyncio
import base64
import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.experiments import find_experiment
from bench.report.controls import find_noise
from bench.report.load import parse_cases, read_manifest
from bench.report.schema import Package, describe_table, read_package
from bench.scenario import load_scenario
from bench.workload.fhir import load_folder
from ehrcore import custody
from ehrcore.agreements import Terms
from ehrcore.block import Payload, RecordRef, Transaction, TransactionBody
from ehrcore.cli.agreement import FORMAT, Draft, read_clauses, read_draft
from ehrcore.cli.config import read_given
from ehrcore.cli.disclosure import open_disclosure
from ehrcore.cli.format import parse_digest
from ehrcore.cli.records import Nonces
from ehrcore.codec import decode, encode
from ehrcore.consent import Consent
from ehrcore.crl import RevocationList
from ehrcore.crypto import Crypto
from ehrcore.der import read_signature, write_signature
from ehrcore.drafting import parse_clauses
from ehrcore.drive.net.client import Answer, Client
from ehrcore.drive.net.frames import Frame, LinkKeys, _decode_frame, peek_height
from ehrcore.drive.net.journal import Journal
from ehrcore.drive.net.keys import Passphrase, read_scalar, read_wrap_key
from ehrcore.drive.net.persons import _read_subject, make_keys, read_directory
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, found
from ehrcore.drive.net.routes import read_routes
from ehrcore.drive.net.stores import open_store
from ehrcore.drive.net.web.chain import parse_id, parse_number
from ehrcore.drive.net.web.exchange import BOUNDS_FILE, USUAL, read_bounds
from ehrcore.drive.net.web.views import decode_transaction, transaction_view
from ehrcore.drive.pruned import PrunedLedger, prune
from ehrcore.errors import EhrError
from ehrcore.fhir import read_record
from ehrcore.fhir_consent import read_consent, write_consent
from ehrcore.hashing import find_suite
from ehrcore.identity import FOREVER, CertificateBody
from ehrcore.ledger import SqliteLedger
from ehrcore.messages import Finalised, Message
from ehrcore.proof import decode_proof, encode_proof, verify_proof
from ehrcore.sealing import open_sealed, seal
from ehrcore.sharing import Share, join, split
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import Role
from ehrcore.x509 import Issuer, read_request, request
from ehrcore.x509_parts import from_pem, to_pem
from tests.core.primitives.test_codec import STRUCTS, example_of
from tests.core.test_proof import BLOCKS, GENESIS, PROOF, RECEIPT

ROOT = Path(__file__).parents[1]
#: Mutants of each parser's valid bytes, in the fast tests and in the long ones.
FEW, MANY = 120, 4_000
#: Far more than all mutants of one parser take: who takes longer hangs.
PATIENCE_S = 60
CHAIN = bytes.fromhex(PROOF.chain)
SCHEME = find_scheme("p256/cryptography")
AUTHORITY = SCHEME.private_key(derive_secret(CURVES["p256"], "fuzz"))
ISSUER = Issuer("net", "p256", AUTHORITY.public_bytes, AUTHORITY)
NET, WEB = "ehrcore.drive.net", "ehrcore.drive.net.web"


PERSONS = (
    b'{"next_serial":9,"persons":{"a":{"subject":"p","capacity":"patient","organisation":"","patient":"1","kinds":[1],'
    b'"serials":[7]}}}'
)
STORES = [b'{"url":"file:///tmp/x"}', b'{"url":"s3://bucket/prefix"}']


class Parser(NamedTuple):
    """``sites`` are functions of the source; ``write`` is the one spelling of a value, for canonical codecs."""

    parse: Callable[[bytes], Any]
    seeds: Callable[[], list[bytes]]
    sites: tuple[str, ...]
    write: Callable[[Any], bytes] | None
    #: The part of the mutants that there is time for.
    share: float


PARSERS: dict[str, Parser] = {}


def parser(
    name: str,
    seeds: Callable[[], list[bytes]],
    *sites: str,
    write: Callable[[Any], bytes] | None = None,
    share: float = 1.0,
) -> Callable[[Callable[[bytes], Any]], Callable[[bytes], Any]]:
    """Put a function from bytes to anything on the list."""

    def put(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        PARSERS[name] = Parser(parse, seeds, sites, write, share)
        return parse

    return put


class Home:
    """A founded network in a temporary folder, with files to be written over and a person."""

    path: Path

    @classmethod
    def found(cls, path: Path) -> None:
        cls.path = path
        found(path, NetworkConfig(), 0, "fuzz")
        make_keys(path / "persons" / "p", "p256")
        (path / "fhir").mkdir()

    @classmethod
    def folder(cls) -> NetworkFolder:
        return NetworkFolder(cls.path)

    @classmethod
    def chain(cls) -> bytes:
        return bytes.fromhex(cls.folder().read_plan().chain)

    @classmethod
    def read(cls, relative: str) -> bytes:
        return (cls.path / relative).read_bytes()

    @classmethod
    @contextmanager
    def file(cls, relative: str, data: bytes) -> Iterator[Path]:
        """A file with this content; afterwards it is as it was before."""
        path = cls.path / relative
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        path.chmod(0o600)
        try:
            yield path
        finally:
            path.unlink()
            if before is not None:
                path.write_bytes(before)
                path.chmod(0o600)

    @classmethod
    def link(cls, name: str) -> LinkKeys:
        return LinkKeys(cls.folder().read_plan(), name, bytes.fromhex(cls.read(f"nodes/{name}/link.key").decode()))

    @classmethod
    def passphrase(cls) -> Passphrase:
        (cls.path / "passphrase").write_bytes(b"wrong")
        (cls.path / "passphrase").chmod(0o600)
        return Passphrase(cls.path / "passphrase")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    Home.found(tmp_path_factory.mktemp("fuzz") / "network")


# -- the chain's own codec ---------------------------------------------------------------------------------------------

CUSTODY = [kind for kind in vars(custody).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
           and kind.__module__ == custody.__name__ and kind.__struct_config__.array_like]  # fmt: skip

for struct in (*STRUCTS, *CUSTODY):
    parser(
        f"struct {struct.__name__}",
        lambda kind=struct: [encode(example_of(kind))],  # type: ignore[misc]
        "ehrcore.codec.decode",
        f"{WEB}.exchange.read_struct",
        f"{WEB}.chain.post_final",
        *(f"{WEB}.custody.post_{what}" for what in ("deposit", "release", "search", "object")),
        f"{NET}.custodians._open_page",
        write=encode,
        share=0.3,
    )(lambda data, kind=struct: decode(data, kind))  # type: ignore[misc]

parser(
    "message", lambda: [encode(RECEIPT), encode(Finalised(BLOCKS[0].block, BLOCKS[0].certificate))],
    f"{NET}.host._read", f"{NET}.host.start", f"{NET}.host.finals", f"{NET}.client.struct",
    f"{NET}.sync.fetch_blocks",
    f"{NET}.node._read_kept", "ehrcore.roles.visitor._settle", write=encode,
)(lambda data: decode(data, Message))  # type: ignore[arg-type]  # fmt: skip
parser("payload", lambda: [encode(example_of(kind)) for kind in STRUCTS if kind.__name__ in {"Agreement", "Access"}],
       f"{WEB}.transactions.post_transaction", write=encode)(
    lambda data: decode(data, Payload))  # type: ignore[arg-type]  # fmt: skip


def frame(chain: bytes) -> Frame:
    return Frame(chain, "visitor-0", "agent-0", 1, 1, 1, (b"m",))


parser("peek", lambda: [encode(Finalised(BLOCKS[0].block, BLOCKS[0].certificate))],
       f"{NET}.frames.<module>")(peek_height)  # fmt: skip
parser("frame", lambda: [encode(frame(CHAIN))])(_decode_frame)


@parser("sealed frame", lambda: [Home.link("visitor-0").seal(frame(Home.chain()))], share=0.3)
def _(data: bytes) -> object:
    return Home.link("agent-0").open(data)


@parser(
    "greeting", lambda: [Home.link("visitor-0").greet("agent-0", 1).encode()], f"{NET}.frames.is_greeting", share=0.3
)
def _(data: bytes) -> object:
    return Home.link("agent-0").is_greeting(data.decode("latin-1"), 1)


@parser("bounds", lambda: [msgspec.json.encode(USUAL)], f"{WEB}.exchange.read_bounds", share=0.5)
def _(data: bytes) -> object:
    with Home.file(f"nodes/agent-0/{BOUNDS_FILE}", data):
        return read_bounds(Home.path / "nodes/agent-0")


@parser("proof", lambda: [encode_proof(PROOF)], "ehrcore.proof.decode_proof", "ehrcore.proof._decode_part",
        "ehrcore.proof.locate", share=0.3)  # fmt: skip
def _(data: bytes) -> object:
    return verify_proof(decode_proof(data))


@parser("sealed record", lambda: [seal(bytes(32), b"context", b"content" * 9)])
def _(data: bytes) -> object:
    return open_sealed(bytes(32), b"context", data)


@parser("shares", lambda: [encode(split(bytes(32), 2, 3, bytes(range(32)))[:2])])
def _(data: bytes) -> object:
    return join(decode(data, tuple[Share, ...]))


# -- X.509, keys and signatures ----------------------------------------------------------------------------------------


def body() -> CertificateBody:
    return CertificateBody("net", 7, "person-1", Role.VISITOR, AUTHORITY.public_bytes, (1, 2), 0, 0, FOREVER)


parser("certificate", lambda: [ISSUER.certificate(body())], "ehrcore.x509._parse_certificate", write=ISSUER.certificate,
       share=0.5)(ISSUER.read_certificate)  # fmt: skip
parser("authority's certificate", lambda: [ISSUER.authority()], share=0.5)(ISSUER.read_authority)
parser("certification request", lambda: [request("person-1", "p256", AUTHORITY)], "ehrcore.x509._parse_request",
       share=0.5)(lambda data: read_request("p256", data))  # fmt: skip
parser("revocation list", lambda: [ISSUER.revocations(RevocationList(4, 5, 6, ()))], "ehrcore.crl.parse_list",
       "ehrcore.crl._parse_entry", write=ISSUER.revocations, share=0.5)(ISSUER.read_revocations)  # fmt: skip
parser("pem", lambda: [to_pem("CERTIFICATE", ISSUER.authority())], "ehrcore.x509_parts.from_pem",
       write=lambda found: to_pem("CERTIFICATE", found))(lambda data: from_pem("CERTIFICATE", data))  # fmt: skip
parser("der signature", lambda: [write_signature(AUTHORITY.sign(bytes(32)))], write=write_signature)(
    lambda data: read_signature(CURVES["p256"], data)
)
for scheme in ("p256/cryptography", "secp256k1/cryptography", "p256/ecdsa", "p256/pycryptodome"):
    parser(f"public key {scheme}", lambda name=scheme: [find_scheme(name).private_key(7).public_bytes], share=0.3)(  # type: ignore[misc]
        lambda data, name=scheme: find_scheme(name).verifying_key(data).verify(bytes(32), bytes(64))  # type: ignore[misc]
    )
parser("signature", lambda: [AUTHORITY.sign(bytes(32))])(
    lambda data: SCHEME.verifying_key(AUTHORITY.public_bytes).verify(bytes(32), data)
)


@parser("signing key", lambda: [Home.read("persons/p/signing.key"), Home.read("nodes/agent-0/signing.key")],
        f"{NET}.keys.read_scalar", f"{NET}.keys._load", share=0.5)  # fmt: skip
def _(data: bytes) -> object:
    with Home.file("s.key", data) as path:
        return SCHEME.private_key(read_scalar(path, "p256", Home.passphrase()))


@parser("wrap key", lambda: [Home.read("persons/p/wrap.key"), b"07" * 32], share=0.5)
def _(data: bytes) -> object:
    with Home.file("w.key", data) as path:
        return read_wrap_key(path, Home.passphrase())


for relative, share in (("authority/signing.key", 0.3), ("authority/pseudonyms.key", 0.3)):

    @parser(relative, lambda relative=relative: [Home.read(relative)], share=share)  # type: ignore[misc]
    def _(data: bytes, relative: str = relative) -> object:
        with Home.file(relative, data):
            return Home.folder().open_authority(Home.folder().read_plan())


@parser("node key", lambda: [Home.read("nodes/agent-0/signing.key")], share=0.3)
def _(data: bytes) -> object:
    with Home.file("nodes/agent-0/signing.key", data):
        return Home.folder().context(Home.folder().read_plan(), "agent-0")


# -- files of a network ------------------------------------------------------------------------------------------------


@parser("plan", lambda: [Home.read("network.json")], f"{NET}.files.read_json", f"{NET}.plan.read_plan",
        f"{NET}.plan.open_genesis", share=0.3)  # fmt: skip
def _(data: bytes) -> object:
    with Home.file("network.json", data):
        plan = Home.folder().read_plan()
        return plan.roles(), plan.open_genesis(), [plan.url(name) for name in plan.nodes], Home.link("agent-0")


@parser("configuration", lambda: [b"name = 'x'\nagents = 3\n[nodes]\nagent-0 = { host = 'h', port = 5 }\n"],
        "ehrcore.cli.config._read_toml", "ehrcore.cli.config._convert")  # fmt: skip
def _(data: bytes) -> object:
    flags = ("agents", "coordinators", "administrators", "contributors", "visitors", "consensus", "tls", "first_port")
    with Home.file("c.toml", data) as path:
        return read_given(argparse.Namespace(config=path, **dict.fromkeys(flags)))


@parser("subject", lambda: [b"person-1\n"], f"{NET}.persons._read_subject", share=0.5)
def _(data: bytes) -> object:
    with Home.file("persons/p/subject", data) as path:
        return _read_subject(path)


@parser("routes", lambda: [b'{"visitor-0":"127.0.0.1:80"}'], f"{NET}.routes.read_routes", share=0.5)
def _(data: bytes) -> object:
    with Home.file("nodes/agent-0/routes.json", data):
        return read_routes(Home.folder(), Home.folder().read_plan(), "agent-0")


@parser("directory of persons", lambda: [PERSONS], f"{NET}.persons.read_directory", share=0.5)
def _(data: bytes) -> object:
    with Home.file("authority/persons.json", data):
        return read_directory(Home.folder(), Home.folder().read_plan())


@parser("store", lambda: STORES, f"{NET}.stores.read_store_config", share=0.5)
def _(data: bytes) -> object:
    with Home.file("store.json", data):
        return open_store(Home.folder())


@parser("store's credentials", lambda: [b'{"access_key_id":"a","secret_access_key":"b"}'],
        f"{NET}.stores._read_credentials", share=0.5)  # fmt: skip
def _(data: bytes) -> object:
    with Home.file("store.json", b'{"url":"s3://bucket/prefix"}'), Home.file("store-credentials.json", data):
        return open_store(Home.folder())


@parser("nonce", lambda: [b"64"], share=0.2)
def _(data: bytes) -> object:
    with Home.file("nonce", data):
        return Nonces(Home.path).take()


def made(name: str, make: Callable[[Path], None]) -> list[bytes]:
    path = Home.path / name
    if not path.exists():
        make(path)
    return [path.read_bytes()]


def make_ledger(path: Path) -> None:
    with SqliteLedger.create(path, GENESIS) as ledger:
        ledger.append_all(BLOCKS)


@parser("ledger", lambda: made("made.sqlite", make_ledger), "ehrcore.ledger.entries", "ehrcore.ledger._check_genesis",
        share=0.15)  # fmt: skip
def _(data: bytes) -> object:
    with Home.file("ledger.sqlite", data) as path, SqliteLedger.open(path) as ledger:
        return len(list(ledger.entries())), ledger.verify().height


@parser("journal", lambda: made("journal-0", lambda path: Journal.open(path, CHAIN, "agent-0").close()), share=0.15)
def _(data: bytes) -> object:
    with Home.file("journal.sqlite", data) as path:
        journal = Journal.open(path, CHAIN, "agent-0")
        try:
            return journal.pending(), journal.orders(), journal.tip(), journal.finals(1, 4), journal.said(1)
        finally:
            journal.close()


# -- what people and clients write -------------------------------------------------------------------------------------

RECORD = b'{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"value":1.5}'
PATIENT = (
    b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"p","birthDate":"1970"}},'
    b'{"resource":{"resourceType":"Claim","patient":{"reference":"Patient/p"}}}]}'
)
CLAUSES = b"""
[[clauses]]
then = 'permit'
when = { all = [{ fact = 'uses', below = 3 }, { fact = 'kind', is = 'bill' }] }
"""

parser("fhir", lambda: [RECORD], "ehrcore.fhir._decode")(read_record)
parser("fhir consent", lambda: [json.dumps(write_consent(example_of(Consent), CHAIN, 5)).encode()],
       "ehrcore.fhir_consent.read_consent")(read_consent)  # fmt: skip
parser("transaction's text", lambda: [msgspec.json.encode(transaction_view(Transaction(TransactionBody(
    CHAIN, "a", 1, 2, RecordRef(1, bytes(32), bytes(32), "/a", 5, b"\1" * 32)), bytes(64))))],
    f"{WEB}.views.<module>")(decode_transaction)  # fmt: skip
parser("id", lambda: [b"ab" * 32], write=lambda found: found.hex().encode())(
    lambda data: parse_id(data.decode("latin-1"))
)
parser("number", lambda: [b"123"])(lambda data: parse_number("n", data.decode("latin-1"), 1, 1 << 53))
parser("digest", lambda: [b"ab" * 32], "ehrcore.cli.format.parse_digest")(
    lambda data: parse_digest("d", data.decode("latin-1"))
)
parser("problem", lambda: [b'{"reason":"x"}'], f"{NET}.client._parse")(lambda data: Answer("n", 400, data).problem())
parser("object", lambda: [b'{"a":1}'])(lambda data: Answer("n", 200, data).object())


@parser("status", lambda: [b'{"name":"x","height":5,"phase":"ready"}'], f"{NET}.client.status", share=0.3)
def _(data: bytes) -> object:
    class Told(Client):
        async def fetch(self, node: str, *_: object, **__: object) -> Answer:
            return Answer(node, 200, data)

    return asyncio.run(Told(Home.folder(), Home.folder().read_plan()).status("agent-0"))


for suffix, seed in (("toml", CLAUSES), ("json", b'{"clauses":[{"then":"deny"}]}')):

    @parser(f"clauses.{suffix}", lambda seed=seed: [seed], "ehrcore.cli.agreement.read_clauses",  # type: ignore[misc]
            "ehrcore.drafting._convert")  # fmt: skip
    def _(data: bytes, suffix: str = suffix) -> object:
        with Home.file(f"clauses.{suffix}", data) as path:
            return parse_clauses(read_clauses(path))


def draft() -> bytes:
    terms = base64.b64encode(encode(example_of(Terms))).decode()
    return msgspec.json.encode(Draft(format=FORMAT, chain=PROOF.chain, terms=terms, signer="a", signature="0" * 128))


@parser("draft", lambda: [draft()], "ehrcore.cli.agreement.read_draft")
def _(data: bytes) -> object:
    with Home.file("draft", data) as path:
        return read_draft(path, PROOF.chain)


RECORD_REF = RecordRef(1, bytes(32), sha256(b"").digest(), "/a", 0)


@parser("evidence", lambda: [b'{"format":"ehrcore-evidence-1","key":"00","sealed":"AAAA"}'],
        "ehrcore.cli.disclosure.open_disclosure", share=0.5)  # fmt: skip
def _(data: bytes) -> object:
    return open_disclosure(data, RECORD_REF, Crypto(find_suite("sha256"), SCHEME))


def make_pruned(path: Path) -> None:
    make_ledger(path.with_name("whole"))
    with SqliteLedger.open(path.with_name("whole")) as ledger:
        prune(ledger, path, 1)


@parser("pruned ledger", lambda: made("made-pruned", make_pruned), "ehrcore.drive.pruned.__init__",
        "ehrcore.drive.pruned._read", share=0.15)  # fmt: skip
def _(data: bytes) -> object:
    with Home.file("pruned.sqlite", data) as path, closing(PrunedLedger(path)) as ledger:
        return ledger.verify()


# -- the benchmark's files ---------------------------------------------------------------------------------------------


@parser("workload", lambda: [PATIENT], "bench.workload.fhir._decode", share=0.5)
def _(data: bytes) -> object:
    with Home.file("fhir/x.json", data):
        return load_folder(Home.path / "fhir", strict=True)


@parser("scenario", lambda: [(ROOT / "bench/profiles/smoke.toml").read_bytes()], "bench.scenario._read",
        "bench.scenario.load_scenario", "bench.scenario.convert_scenario", share=0.1)  # fmt: skip
def _(data: bytes) -> object:
    with Home.file("s.toml", data) as path:
        return load_scenario("smoke", path)


@parser("manifest", lambda: [(ROOT / "results/reference/manifest.json").read_bytes()], "bench.report.load._parse",
        "bench.report.load.read_manifest", "bench.report.controls.find_noise", share=0.1)  # fmt: skip
def _(data: bytes) -> object:
    (Home.path / "run").mkdir(exist_ok=True)
    with Home.file("run/manifest.json", data):
        manifest = read_manifest(Home.path / "run")
        find_noise(manifest)
        return manifest


@parser("data package", lambda: [msgspec.json.encode(Package(resources=[
        describe_table("hashes", table) for table in find_experiment("hashes").tables]))],
        "bench.report.schema.read_package", share=0.3)  # fmt: skip
def _(data: bytes) -> object:
    return read_package(data, "tables/datapackage.json")


@parser("rows", lambda: [b'{"case":"a","i":0,"of":1}\n{"case":"b","i":0,"of":1}\n'])
def _(data: bytes) -> object:
    return parse_cases(data, "raw", is_strict=True)


# -- mutants -----------------------------------------------------------------------------------------------------------

TOKENS = (b"\x00", b"\xff", b"\x7f", b"\x80", b"[", b"{", b'"', b"\\", b"\n", b"=", b"-1", b"1e999", b"9" * 5_000,
          b"null", b"true", b"\xed\xa0\x80", b"\xdd\xff\xff\xff\xff", b"\x91" * 3_000, b"[" * 3_000, b'{"a":' * 3_000,
          b"x = " + b"[" * 3_000, b"0x", b"_", b"NaN")  # fmt: skip


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Valid bytes with up to three things done to them."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        end = min(at + chance.choice((1, 1, 2, 8, 64)), len(data))
        piece = chance.choice((
            bytes(byte ^ 1 << chance.randrange(8) for byte in data[at:end]), b"", data[at:end] * 2,
            chance.choice(TOKENS), chance.choice(TOKENS) + data[at:end], chance.randbytes(end - at),
            data[chance.randrange(len(data) + 1) :][:64],
        ))  # fmt: skip
        data = data[:at] + piece + data[end if chance.random() < 0.9 else len(data) :]
    return data


class HangError(Exception):
    """A parser that does not come back."""


@contextmanager
def patience() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def throw(tested: Parser, data: bytes) -> bool:
    """Have ``data`` parsed: whether it is taken.  What is taken in one spelling is not taken in another."""
    try:
        value = tested.parse(data)
    except (EhrError, BenchError):
        return False
    assert tested.write is None or tested.write(value) == data
    return True


def fuzz(tested: Parser, count: int) -> None:
    chance = random.Random(repr(tested.sites))
    seeds = tested.seeds()
    with patience():
        for _ in range(max(int(count * tested.share), 10)):
            throw(tested, mutate(chance, chance.choice(seeds)))
        for token in TOKENS:
            throw(tested, token)
        throw(tested, b"")


@pytest.mark.parametrize("name", PARSERS)
def test_mutants_of_valid_bytes_are_taken_or_refused(name: str) -> None:
    fuzz(PARSERS[name], FEW)


@pytest.mark.long
@pytest.mark.parametrize("name", PARSERS)
def test_many_mutants_of_valid_bytes_are_taken_or_refused(name: str) -> None:
    fuzz(PARSERS[name], MANY)


#: Seeds that are refused for a reason beside their form.
REFUSED = {"evidence", "rows", "manifest", "status", "fhir consent"}


@pytest.mark.parametrize("name", sorted(set(PARSERS) - REFUSED))
def test_what_mutants_are_made_of_is_taken(name: str) -> None:
    assert all(throw(PARSERS[name], seed) for seed in PARSERS[name].seeds())


@pytest.mark.parametrize("name", [name for name in PARSERS if not name.startswith("struct ")])
@settings(max_examples=10, deadline=None)
@given(data=st.binary(max_size=100))
def test_any_bytes_are_taken_or_refused(name: str, data: bytes) -> None:
    throw(PARSERS[name], data)


def test_a_planted_parser_is_caught() -> None:
    """One that lets an exception of a library out, one that takes two spellings, and one that hangs."""
    seeds = lambda: [b'{"a":1}']  # noqa: E731 - as the list has them
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, RecursionError)):
        fuzz(Parser(msgspec.json.decode, seeds, (), None, 1.0), 100)
    lenient = Parser(lambda data: data.strip(), seeds, (), lambda found: found, 1.0)
    with pytest.raises(AssertionError):
        fuzz(lenient, 2_000)


# -- the guard ---------------------------------------------------------------------------------------------------------

#: Places that decode what nobody else can have written, or that other parsers on the list have checked before.
EXEMPT = {
    "bench.errata.": "what a demonstration has made itself",
    "bench.analysis.claims.read_rules": "the project's own rules, tried line by line in tests of their own",
    "ehrcore.params._validate_fields": "values of a struct that is there",
    "ehrcore.faults.plan.validate": "values of a struct that is there",
    "ehrcore.drive.sim._send": "what the simulator has just encoded",
    "ehrcore.faults.upkeep.": "what the simulator has just encoded",
    "ehrcore.drive.net.tls.peer_name": "a certificate that TLS has verified",
    "ehrcore.cli.consent.grant": "what was encoded on the line before",
    "ehrcore.cli.consent._parse_day": "a number that is there",
    "ehrcore.drive.net.persons.check_organisation": "a word of the command line",
    "ehrcore.drive.net.shares.find": "a contributor's own file, whose rows are authenticated",
    "bench.attacks.": "files of this project, checked against their published digests",
    "bench.privacy.": "what is being measured",
    "bench.cli.options.convert": "a method of this name",
    "bench.loading._read_claims": "what `ehrbench report` has written, behind its digest",
    "bench.report.appendix._read_claims": "what `ehrbench report` has written",
    "bench.report.facts.read_fact_rules": "the project's own rules, tried in tests of their own",
    "ehrcore.x509.": "behind `Issuer` and `read_request`, which are on the list",
    "bench.limits.": "answers of a server that the benchmark has started",
    "bench.measure.": "what is being measured",
    "bench.engines.": "what another process of the same run has written",
    "bench.net.": "what another process of the same run has written",
    "bench.run.": "after `read_manifest`",
    "bench.record.": "after `read_manifest`",
}
LOADERS = {"loads", "convert", "read_json", "read_struct", "b64decode", "load_pem_private_key",
           "load_der_x509_certificate", "load_der_x509_csr", "load_der_x509_crl", "Decoder"}  # fmt: skip


def is_decoding(call: ast.Call) -> bool:
    """``decode(...)``, ``msgspec.json.decode(...)``, ``tomllib.loads(...)``, ``int(text, 16)`` and the like."""
    match call.func:
        case ast.Name(id=name):
            return name == "decode" or name in LOADERS or (name == "int" and len(call.args) == 2)
        case ast.Attribute(attr=name, value=value):
            of_module = isinstance(value, ast.Attribute) and value.attr in {"json", "msgpack"}
            return name in LOADERS or (name == "decode" and of_module)
    return False


def sites_of(source: str, module: str) -> set[str]:
    found: set[str] = set()

    def walk(node: ast.AST, where: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else where
            if isinstance(child, ast.Call) and is_decoding(child):
                found.add(f"{module}.{inner}")
            walk(child, inner)

    walk(ast.parse(source), "<module>")
    return found


@cache
def all_sites() -> frozenset[str]:
    paths = [path for package in ("ehrcore", "bench") for path in (ROOT / package).rglob("*.py")]
    return frozenset(
        site
        for path in paths
        for site in sites_of(path.read_text(), ".".join(path.relative_to(ROOT).with_suffix("").parts))
    )


def test_every_place_that_decodes_is_on_the_list() -> None:
    covered = {site for tested in PARSERS.values() for site in tested.sites}
    left = {site for site in all_sites() - covered if not site.startswith(tuple(EXEMPT))}
    assert sorted(left) == [], "name them in a parser of this list, or say in EXEMPT why none is needed"


def test_the_list_names_no_place_that_is_not_there() -> None:
    sites = all_sites()
    assert {site for tested in PARSERS.values() for site in tested.sites} - sites == set()
    assert [prefix for prefix in EXEMPT if not any(site.startswith(prefix) for site in sites)] == []


@pytest.mark.parametrize(
    "source",
    ["decode(data, Kind)", "msgspec.json.decode(data)", "tomllib.loads(text)", "json.loads(text)", "int(text, 16)",
     "msgspec.msgpack.Decoder(Kind)", "def f():\n    return msgspec.convert(given, Kind)"],
)  # fmt: skip
def test_a_planted_place_is_found(source: str) -> None:
    assert sites_of(source, "m") == {"m.f" if "def" in source else "m.<module>"}
    assert not sites_of("data.decode()\nencode(x)\nint(x)\nresponse.json()", "m")
