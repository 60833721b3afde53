"""Engine `collisions`: pairs as contents of records on real ledgers, and birthday searches on cut digests."""

from collections.abc import Callable, Iterable
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
from bench.experiments.attacks import Tally, check_attacks
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


#: An attack, the protection, what judges it, and what hides the pair from it, if anything does.
Trial = tuple[str, str, Callable[[], str | None], str]


def _judge(pair: Pair, suite: str, group: str, trials: Iterable[Trial], *, has_effect: bool = True) -> list[Row]:
    """Theory: what is bound by digest alone falls to a pair that collides under the chain's own suite."""
    rows = []
    for attack, protection, check, hidden in trials:
        is_beaten = pair.suite == suite and not hidden
        tally = Tally(f"{attack} ({pair.name})", suite, protection, "succeeds" if is_beaten else "refused", hidden)
        tally.watch(check, has_effect=has_effect)
        rows.append(tally.row() | {"group": group})
    return rows


def attack_digests(pair: Pair, suite: str, curve: str) -> list[Row]:
    """Content ids and a signature over them: raw, behind the prefix of a Merkle leaf, and keyed."""
    digest = find_suite(suite).hash
    key = find_scheme(f"{curve}/cryptography").private_key(derive_secret(CURVES[curve], "a physician"))
    public = find_scheme(f"{curve}/cryptography").verifying_key(key.public_bytes)
    signature = key.sign(digest(pair.first))
    hidden = keyed = ""
    if pair.suite == suite:
        hidden = "hides the published pair only: who knows the prefix computes another at the same cost"
        keyed = "hides the pair from who lacks the key; its owner can still compute one"

    def prefixed(body: bytes) -> bytes:
        return digest(b"\0" + body)

    def same(identify: Callable[[bytes], bytes]) -> str | None:
        return None if identify(pair.first) == identify(pair.second) else "other digest"

    return _judge(pair, suite, "digest", (
        ("same content id", "raw digest H(x)", lambda: same(digest), ""),
        ("same content id", "prefix H(0x00 || x)", lambda: same(prefixed), hidden),
        ("same content id", "HMAC, key secret", lambda: same(partial(_keyed, suite)), keyed),
        ("signature transfers", "raw digest H(x)",
         lambda: None if public.verify(digest(pair.second), signature) else "signature", ""),
    ))  # fmt: skip


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
    rows = _judge(pair, suite, "record", (
        (attack, "look-up contract", lambda: None if look_up(crypto, store, one.record) else "look-up", ""),
        (attack, "ehrcore read",
         lambda: None if verifier.matches(one.shown, store.get(record.location) or b"") else "read", ""),
        (attack, "ehrcore audit", lambda: "audit" if audit_one(keepers, one) else None, ""),
        (attack, "FHIR parser on the way in", lambda: _parse(documents.first), note),
    ), has_effect=is_other)  # fmt: skip
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
