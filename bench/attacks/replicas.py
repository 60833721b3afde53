"""Attacks on some or all ledger keepers: a rewritten suffix, stolen keys, a rollback, another chain altogether."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from bench.attacks.chain import TOPOLOGY, Chain, Scribe, found_chain
from bench.attacks.files import audit, check_all, check_pinned, copy_ledger, read_chain, run_check, write_ledger
from bench.attacks.ledgers import ECDSA, FINAL, TARGET, write_chain
from bench.experiments.attacks import Expected, Tally
from bench.experiments.base import Row
from ehrcore.block import Block
from ehrcore.drive.net.objects import FileStore
from ehrcore.params import ConsensusRule
from ehrcore.records import ClinicalRecord
from ehrcore.types import Role

KEEPERS = TOPOLOGY.contributors
#: Two keys are a quorum if they are those of the last two, and three are none if they are those of the first three.
UNEQUAL = (1, 2, 3, 4)
_SELF, _OTHERS, _TIP, _CHAIN = "ledger verify", "audit", "ledger verify --tip", "ledger verify --chain"


@dataclass
class Keepers:
    """The ledgers of all keepers of a chain, and the store beside them."""

    scribe: Scribe
    chain: Chain
    suite: str
    folder: Path
    store: FileStore
    #: The file of each chain that was written, by its identity; what is kept keeps that.
    files: dict[int, Path] = field(default_factory=dict)
    kept: list[Chain] = field(default_factory=list)

    def write(self, chains: Sequence[Chain]) -> list[Path]:
        """A file for each keeper, in the order of their names."""
        paths = [self.folder / f"{name}.db" for name in self.scribe.names(Role.CONTRIBUTOR)]
        for path, chain in zip(paths, chains, strict=True):
            if id(chain) not in self.files:
                kept = self.files[id(chain)] = self.folder / f"chain-{len(self.files)}.db"
                self.kept.append(chain)
                write_ledger(kept, chain)
            copy_ledger(self.files[id(chain)], path)
        return paths

    def spread(self, rewritten: Chain, count: int) -> list[Path]:
        """The files when ``count`` of the keepers hold ``rewritten``."""
        return self.write([rewritten] * count + [self.chain] * (KEEPERS - count))


def gather(
    seed: str, suite: str, curve: str, rule: ConsensusRule, records: Sequence[ClinicalRecord], folder: Path,
    stakes: Sequence[int] = (),
) -> Keepers:  # fmt: skip
    """An honest chain at all keepers, with every object where it belongs."""
    scribe = Scribe(found_chain(f"{seed}|replicas|{suite}|{rule}|{stakes}", suite, curve, rule, stakes))
    folder = folder / "-".join(map(str, (rule.value, *stakes)))
    folder.mkdir()
    chain, store = write_chain(scribe, records), FileStore(folder / "objects")
    for record in records[: 2 * len(chain.entries)]:
        store.put(record.location, record.body)
    return Keepers(scribe, chain, suite, folder, store)


def rewrite(keepers: Keepers, voters: Sequence[str]) -> Chain:
    """The chain without one of its transactions, certified with the keys of ``voters`` if there are any."""
    entry = keepers.chain.entries[TARGET]
    block = Block(entry.block.header, entry.block.transactions[1:])
    changed = msgspec.structs.replace(entry, block=block, reasons=entry.reasons[1:])
    return keepers.scribe.relink(keepers.chain.replaced(TARGET, changed), TARGET, voters, is_judged=not voters)


def attack_replicas(seed: str, suite: str, curve: str, records: Sequence[ClinicalRecord], folder: Path) -> list[Row]:
    """Rewritten suffixes without finality and with, by keys stolen; then rollback and a chain of the attacker's own."""
    rows: list[Row] = []
    loose = gather(seed, suite, curve, ConsensusRule.PROOF_OF_WORK, records, folder)
    rows += rewrite_suffixes(loose, ECDSA, (), is_quorum=True)
    sealed = gather(seed, suite, curve, ConsensusRule.PROOF_OF_STAKE, records, folder)
    names = sealed.scribe.names(Role.ADMINISTRATOR)
    for count in range(len(names) + 1):
        label = f"{FINAL}, {count} of {len(names)} keys stolen"
        rows += rewrite_suffixes(sealed, label, names[:count], is_quorum=3 * count > 2 * len(names))
    weighted = gather(seed, suite, curve, ConsensusRule.PROOF_OF_STAKE, records, folder, UNEQUAL)
    for chosen in ((2, 3), (0, 1, 2)):
        stake = sum(UNEQUAL[index] for index in chosen)
        label = f"{FINAL}, {len(chosen)} keys with {stake} of {sum(UNEQUAL)} stake stolen"
        voters = [names[index] for index in chosen]
        rows += rewrite_suffixes(weighted, label, voters, is_quorum=3 * stake > 2 * sum(UNEQUAL), counts=(KEEPERS,))
    return rows + roll_back(sealed) + replace_chain(sealed, seed, curve, records)


def rewrite_suffixes(
    keepers: Keepers, protection: str, voters: Sequence[str], *, is_quorum: bool,
    counts: Sequence[int] = tuple(range(1, KEEPERS + 1)),
) -> list[Row]:  # fmt: skip
    """A row per number of keepers rewritten and check: each file by itself, all together, and with a tip that is known.

    ``is_quorum`` says whether theory lets the suffix pass: nobody has to sign for it, or its signers are a quorum.
    """
    chain, tip = rewrite(keepers, voters), _tip(keepers)
    rows = []
    for count in counts:
        paths = keepers.spread(chain, count)
        attack = f"rewrite a suffix on {count} of {KEEPERS} replicas"
        alone: Expected = "succeeds" if is_quorum else "refused"
        together: Expected = "refused" if not is_quorum else "succeeds" if count == KEEPERS else "detected"
        cases: list[tuple[str, Expected, Callable[[], str | None]]] = [
            (_SELF, alone, partial(run_check, check_all, paths[0])),
            (_OTHERS, together, partial(_audit, keepers, paths)),
        ]
        if count == KEEPERS:
            cases.append((_TIP, "refused", partial(run_check, partial(check_pinned, tip=tip), paths[0])))
        for how, expected, check in cases:
            tally = Tally(attack, keepers.suite, f"{protection}: {how}", expected)
            rows.append(_judge(keepers, tally, check, [read_chain(path) for path in paths]))
    return rows


def roll_back(keepers: Keepers) -> list[Row]:
    """An older, valid prefix in the place of a ledger: nothing in it is wrong."""
    older, tip = Chain(keepers.chain.genesis, keepers.chain.entries[:-1]), _tip(keepers)
    rows = []
    for count in (1, KEEPERS):
        paths = keepers.spread(older, count)
        longest = keepers.chain if count < KEEPERS else older
        lag = "neither: a keeper may lag; audit shows its height and replays the longest ledger"
        cases: tuple[tuple[str, Expected, Callable[[], str | None], Chain, str], ...] = (
            (_SELF, "succeeds", partial(run_check, check_all, paths[0]), older, "a prefix of a chain is a chain"),
            (_OTHERS, "refused" if count < KEEPERS else "succeeds", partial(_audit, keepers, paths), longest,
             lag if count < KEEPERS else ""),
            (_TIP, "refused", partial(run_check, partial(check_pinned, tip=tip), paths[0]), older, ""),
        )  # fmt: skip
        for how, expected, check, seen, note in cases:
            tally = Tally(f"roll back {count} of {KEEPERS} ledgers", keepers.suite, f"{FINAL}: {how}", expected, note)
            rows.append(_judge(keepers, tally, check, [seen]))
    return rows


def replace_chain(keepers: Keepers, seed: str, curve: str, records: Sequence[ClinicalRecord]) -> list[Row]:
    """Another chain from its genesis on, with an authority and nodes of the attacker's own."""
    scribe = Scribe(found_chain(f"{seed}|attacker", keepers.suite, curve, ConsensusRule.PROOF_OF_STAKE))
    chain, known = write_chain(scribe, records[::-1]), keepers.scribe.chain.hex()
    path = keepers.write([chain] * KEEPERS)[0]
    note = "a ledger is checked against its own genesis"
    cases: tuple[tuple[str, Expected, Callable[[], str | None], str], ...] = (
        (_SELF, "succeeds", partial(run_check, check_all, path), note),
        (_CHAIN, "refused", partial(run_check, partial(check_pinned, chain=known), path), ""),
    )
    attack = "replace a whole chain and its genesis"
    return [
        _judge(keepers, Tally(attack, keepers.suite, f"{FINAL}: {how}", expected, why), check, [chain])
        for how, expected, check, why in cases
    ]


def _tip(keepers: Keepers) -> str:
    return keepers.scribe.crypto.hash_struct(keepers.chain.entries[-1].block.header).hex()


def _audit(keepers: Keepers, paths: Sequence[Path]) -> str | None:
    findings = audit(paths, keepers.store)
    is_certificate = any(": certificate: " in finding for finding in findings)
    return f"audit: {'certificate' if is_certificate else 'ledgers differ'}" if findings else None


def _judge(keepers: Keepers, tally: Tally, check: Callable[[], str | None], seen: Sequence[Chain]) -> Row:
    """Of effect if nothing is found and one of the chains that a reader sees is not the honest one."""
    tally.watch(check, has_effect=any(chain.history != keepers.chain.history for chain in seen))
    return tally.row()
