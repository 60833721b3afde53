"""Engine `collisions`: pairs as contents of records on real ledgers, and birthday searches on cut digests."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from bench.attacks.birthday import PROTECTIONS, is_collision, search
from bench.attacks.chain import Scribe, found_chain
from bench.attacks.documents import CONTENTS, make_documents, read_document
from bench.attacks.files import check_all, run_check, write_ledger
from bench.attacks.pairs import Pair, load_costs, load_folder, load_published
from bench.attacks.replicas import Keepers
from bench.attacks.stores import audit_one, list_held
from bench.engines.base import Context
from bench.experiments.attacks import Expected, Tally, check_attacks
from bench.experiments.base import Case, Row
from ehrcore.contracts import look_up
from ehrcore.drive.net.objects import FileStore
from ehrcore.errors import RecordError
from ehrcore.fhir import read_record
from ehrcore.hashing import find_suite
from ehrcore.params import ConsensusRule
from ehrcore.proof import Verifier
from ehrcore.records import ClinicalRecord, RecordKind, make_record
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import SECOND

_HMAC_KEY: Final = b"a key that its owner alone knows"


def run_collisions(context: Context, case: Case) -> list[Row]:
    """The rows of the pairs in one variant, or of the searches at one number of bits; a check comes last."""
    if not case.settings:
        return [{"kind": "cost", **cost} for cost in load_costs()]
    if "bits" in case.settings:
        rows = run_searches(context.scenario.seed, case.settings["bits"], case.settings["searches"])
    else:
        plan, suite = context.scenario.collisions, case.settings["suite"]
        pairs = load_published() + (load_folder(Path(plan.pairs)) if plan.pairs else [])
        with context.scratch() as folder:
            rows = attack_variant(context.scenario.seed, suite, context.scenario.curve, pairs, folder)
    return check_attacks(rows)


def run_searches(seed: str, bits: int, count: int) -> list[Row]:
    """``count`` searches under each protection; every pair that is found is checked anew."""
    rows: list[Row] = []
    for protection in PROTECTIONS:
        note = "the cost is in the table of searches; who knows the prefix or key searches with it"
        tally = Tally("search for a collision", f"SHA-256 cut to {bits} bits", protection, "succeeds", note)
        for number in range(count):
            found = search(protection, bits, f"{seed}|birthday|{number}")
            tally.add(None if is_collision(found, protection, bits) else "recomputation")
            rows.append({
                "kind": "birthday", "bits": bits, "protection": protection, "number": number, "tries": found.tries,
                "made": found.made, "seconds": found.seconds,
            })  # fmt: skip
        rows.append(tally.row() | {"group": "search"})
    return rows


# -- pairs in a variant ------------------------------------------------------------------------------------------------


def attack_variant(seed: str, suite: str, curve: str, pairs: list[Pair], folder: Path) -> list[Row]:
    """What each pair does to a chain with ``suite``: to ids and signatures, and as documents in its records."""
    rows: list[Row] = []
    for pair in pairs:
        rows += attack_digests(pair, suite, curve)
        if pair.is_extensible:
            for attack, texts in CONTENTS.items():
                rows += attack_record(seed, suite, curve, pair, attack, texts, folder)
        digest = find_suite(suite).hash
        rows.append({
            "kind": "pair", "pair": pair.name, "pair_suite": pair.suite, "variant": suite,
            "size_bytes": len(pair.first), "what": pair.kind, "source": pair.source,
            "is_extensible": pair.is_extensible, "collides": digest(pair.first) == digest(pair.second),
        })  # fmt: skip
    return rows


def _tally(pair: Pair, suite: str, attack: str, protection: str, *, is_hidden: bool = False, note: str = "") -> Tally:
    """Theory: what is bound by digest alone falls to a pair that collides under the chain's own suite."""
    expected: Expected = "succeeds" if pair.suite == suite and not is_hidden else "refused"
    return Tally(f"{attack} ({pair.name})", suite, protection, expected, note)


def attack_digests(pair: Pair, suite: str, curve: str) -> list[Row]:
    """Content ids and a signature over them: raw, behind the prefix of a Merkle leaf, and keyed."""
    digest = find_suite(suite).hash
    key = find_scheme(f"{curve}/cryptography").private_key(derive_secret(CURVES[curve], "a physician"))
    public = find_scheme(f"{curve}/cryptography").verifying_key(key.public_bytes)
    signature = key.sign(digest(pair.first))
    hidden = "hides the published pair only: who knows the prefix computes another at the same cost"
    keyed = "hides the pair from who lacks the key; its owner can still compute one"

    def prefixed(body: bytes) -> bytes:
        return digest(b"\0" + body)

    def same(identify: Callable[[bytes], bytes]) -> str | None:
        return None if identify(pair.first) == identify(pair.second) else "other digest"

    cases: tuple[tuple[str, str, Callable[[], str | None], bool, str], ...] = (
        ("same content id", "raw digest H(x)", lambda: same(digest), False, ""),
        ("same content id", "prefix H(0x00 || x)", lambda: same(prefixed), True, hidden),
        ("same content id", "HMAC, key secret", lambda: same(partial(_keyed, suite)), True, keyed),
        ("signature transfers", "raw digest H(x)",
         lambda: None if public.verify(digest(pair.second), signature) else "signature", False, ""),
    )  # fmt: skip
    rows = []
    for attack, protection, check, is_hidden, note in cases:
        tally = _tally(pair, suite, attack, protection, is_hidden=is_hidden, note=note if pair.suite == suite else "")
        tally.watch(check)
        rows.append(tally.row() | {"group": "digest"})
    return rows


def _keyed(suite: str, body: bytes) -> bytes:
    """HMAC (RFC 2104) over any suite: `hmac` takes no prepared object."""
    used = find_suite(suite)
    key = _HMAC_KEY.ljust(used.block_size, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in key) for pad in (0x36, 0x5C))
    return used.hash(outer + used.hash(inner + body))


def attack_record(
    seed: str, suite: str, curve: str, pair: Pair, attack: str, texts: tuple[str, str], folder: Path
) -> list[Row]:
    """The first document goes on the chain with every approval; then the store serves the second."""
    documents = make_documents(pair, texts)
    record = make_record(RecordKind.MEDICATION, "patient-1", "Binary", documents.first)
    keepers, path = write_record(seed, suite, curve, record, folder)
    one = list_held(keepers)[0]
    if read_document(one.body) != texts[0]:
        raise AssertionError("the honest document shows its own text")
    keepers.store.put(record.location, documents.second)
    verifier, crypto, store = Verifier(keepers.scribe.genesis), keepers.scribe.crypto, keepers.store
    is_other = read_document(store.get(record.location) or b"") == texts[1]
    note = "a text-only pair (stevens-2024) shows that no format is safe by itself"
    cases: tuple[tuple[str, Callable[[], str | None], bool, str], ...] = (
        ("look-up contract", lambda: None if look_up(crypto, store, one.record) else "look-up", False, ""),
        ("ehrcore read", lambda: None if verifier.matches(one.shown, store.get(record.location) or b"") else "read",
         False, ""),
        ("ehrcore audit", lambda: "audit" if audit_one(keepers, one) else None, False, ""),
        ("FHIR parser on the way in", lambda: _parse(documents.first), True, note),
    )  # fmt: skip
    rows = []
    for protection, check, is_hidden, why in cases:
        tally = _tally(pair, suite, attack, protection, is_hidden=is_hidden, note=why)
        begin_ns = time.perf_counter_ns()
        found = check()
        tally.add(found, time.perf_counter_ns() - begin_ns, is_success=found is None and is_other)
        rows.append(tally.row() | {"group": "record"})
    name = f"the ledger itself verifies, whatever the store serves ({pair.name}, {suite})"
    return [*rows, {"kind": "check", "check": name, "holds": run_check(check_all, path) is None}]


def write_record(seed: str, suite: str, curve: str, record: ClinicalRecord, folder: Path) -> tuple[Keepers, Path]:
    """A chain with this record, approved by all, in a ledger file; the object is in a store of files."""
    scribe = Scribe(found_chain(f"{seed}|collisions|{suite}", suite, curve, ConsensusRule.PROOF_OF_STAKE))
    store = FileStore(folder / "objects")
    store.put(record.location, record.body)
    scribe.store.put(record.location, record.body)
    chain = scribe.write([[scribe.submit(scribe.refer(record), 0, SECOND)]])
    path = folder / "ledger.db"
    path.unlink(missing_ok=True)
    write_ledger(path, chain)
    return Keepers(scribe, chain, suite, folder, store), path


def _parse(body: bytes) -> str | None:
    try:
        read_record(body)
    except RecordError:
        return "FHIR"
    return None
