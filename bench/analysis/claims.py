"""The claims of the paper and the rules that judge them: `paper/claims.toml`, typed and strict.

A claim has *tests*, each a comparison of one number (or word) of a run's table with a limit, and
*decisions*, an ordered list: the first whose tests came out as it asks is the verdict.  A claim without a decision that
applies is 'not supported'; one that nothing here can test says why.  `bench.analysis.verdicts` applies them.
"""

import hashlib
import json
import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from bench.errors import BenchError
from bench.experiments.base import Experiment
from bench.files import find_packaged

SUPPORTED, CONDITIONAL, UNSUPPORTED = "supported", "supported under a condition", "not supported"
CONTRADICTED, UNTESTABLE, UNTESTED = "contradicted", "not testable here", "not tested in this run"
VERDICTS: Final = (SUPPORTED, CONDITIONAL, UNSUPPORTED, CONTRADICTED, UNTESTABLE, UNTESTED)
#: The paper's claims are numbered without a gap.
COUNT: Final = 46
#: What a text may fill in of a test besides its value.
PARTS: Final = ("value", "low", "high", "tries", "rows", "good")
_COMPARISON: Final = re.compile(r"(<=|>=|==|!=|<|>) (.+)")
Text = Annotated[str, msgspec.Meta(min_length=1)]
Cell = str | int | float | bool
Filter = dict[str, Cell | list[Cell]]


class RuleTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One comparison: a ``column`` of those rows of a ``table`` that ``where`` selects, and what ``holds`` of it.

    ``what`` says in words what the number is, with its unit.  ``where`` maps columns to a value, a list of values or a
    pattern of the shell's (``*``; a leading ``!`` negates; '' is a missing value).  ``rows`` says how several rows are
    taken: exactly ``one``, ``each`` must hold, ``any`` may, or their ``sum``, ``min``, ``max`` or ``range`` (greatest
    less least).  ``over`` selects one row by whose column the value is divided, ``per`` a column of the same row.

    ``holds`` is a comparison such as ``< 1`` or ``== safe, live``.  With ``low`` and ``high`` (columns of an interval)
    the whole interval must lie there, and beyond it for the opposite; between them a test stays open, as it does
    where the interval is missing.  ``effect`` is the least distance from the limit, as a share of it, on either side.
    ``of`` names the column of tries of which ``column`` counts some: with fewer than ``least`` of them nothing holds.

    A test with ``printed`` figures of the paper has no table: ``rows`` is then ``sum`` or ``product``.
    """

    what: Text
    holds: Annotated[str, msgspec.Meta(pattern=_COMPARISON.pattern)]
    table: str = ""
    column: str = ""
    where: Filter = {}
    rows: Literal["one", "each", "any", "sum", "min", "max", "range", "product"] = "one"
    over: Filter = {}
    per: str = ""
    low: str = ""
    high: str = ""
    effect: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    of: str = ""
    least: Annotated[int, msgspec.Meta(ge=1)] = 1
    printed: dict[str, float] = {}

    @property
    def operator(self) -> str:
        """The comparison's sign."""
        return self._split()[0]

    @property
    def limit(self) -> float | str:
        """What is compared with: a number (a truth is 1 or 0) or a text, which may be a pattern."""
        return parse_value(self._split()[1])

    def columns(self) -> set[str]:
        """Every column of the table that the test reads."""
        named = {self.column, self.per, self.low, self.high, self.of} - {""}
        return named | {*self.where, *self.over}

    def _split(self) -> tuple[str, str]:
        found = _COMPARISON.fullmatch(self.holds)
        if found is None:
            raise ValueError(f"expected a comparison, found {self.holds!r}")
        return found[1], found[2]


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A verdict for the case that all of ``holds`` hold, all of ``fails`` fail, and none of ``lacks`` holds.

    ``says`` is why, with their numbers: ``{name}`` is the value of a test, ``{name.low}`` its lower bound, and so on
    (`PARTS`).
    """

    verdict: Literal["supported", "supported under a condition", "not supported", "contradicted"]
    says: Text
    holds: list[Text] = []
    fails: list[Text] = []
    lacks: list[Text] = []


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A claim in our words, its ``place`` in the paper, the experiments that bear on it, and its rule.

    ``why`` is the reason for the rule.  One that nothing here can test has ``untestable``, the reason, and no rule.
    """

    says: Text
    place: Text
    why: str = ""
    experiments: list[Text] = []
    untestable: str = ""
    tests: dict[str, RuleTest] = {}
    decisions: list[Decision] = []

    def show_command(self, options: str = "") -> str:
        """What shows it: measures again what the rule needs, with ``options`` ('' if nothing here does)."""
        if self.untestable:
            return ""
        return f"ehrbench run {' '.join(self.experiments)}{options}" if self.experiments else "ehrbench claims"

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what decides: the claim, its tests and its decisions, without the words about them.

        A run records it at its start, so that a report can tell a rule that has changed since.
        """
        content = msgspec.to_builtins({"says": self.says, "untestable": bool(self.untestable), "tests": self.tests})
        content["decisions"] = msgspec.to_builtins(self.decisions)
        for part, words in [*((test, "what") for test in content["tests"].values()),
                            *((decision, "says") for decision in content["decisions"])]:  # fmt: skip
            del part[words]
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rules:
    """All claims by id, and the SHA-256 of the file that they are from."""

    claims: Mapping[str, Claim]
    sha256: str


def parse_value(text: str) -> float | str:
    """A cell or limit as a number, if it is one (a truth as 1 or 0), or else as it is."""
    if text in {"True", "true", "False", "false"}:
        return float(text in {"True", "true"})
    try:
        return float(text)
    except ValueError:
        return text


def read_rules(path: Path | None = None) -> Rules:
    """The rules of ``path``, by default those that ship with the suite.

    Raises `BenchError`, one line that names the place, for whatever is unknown, missing or cannot be used.
    """
    name = "paper/claims.toml" if path is None else str(path)
    try:
        data = (path or find_packaged("paper_claims.toml", "paper/claims.toml")).read_bytes()
        content = tomllib.loads(data.decode())
    except OSError as error:
        raise BenchError(f"{name}: expected a file of claims, found: {error.strerror}") from None
    except ValueError as error:
        raise BenchError(f"{name}: expected TOML, found: {error}") from None
    try:
        claims = msgspec.convert(content, dict[str, Claim])
        for claim_id, claim in claims.items():
            _validate(claim_id, claim)
        expected = [f"C{number:02d}" for number in range(1, COUNT + 1)]
        for wanted, found in zip(expected, [*claims, *[""] * COUNT], strict=False):
            _require(found == wanted, "", f"{wanted} next", found or "the end")
        _require(len(claims) == COUNT, "", f"{COUNT} claims", f"{len(claims)}")
    except (msgspec.ValidationError, ValueError) as error:
        raise BenchError(f"{name}: {error}") from None
    return Rules(claims, hashlib.sha256(data).hexdigest())


def _require(is_right: bool, place: str, expected: str, found: str) -> None:  # noqa: FBT001 - the condition reads first
    if not is_right:
        raise ValueError(f"{place}: expected {expected}, found {found}".removeprefix(": "))


def _validate(claim_id: str, claim: Claim) -> None:
    if claim.untestable:
        has_rule = bool(claim.tests or claim.decisions or claim.experiments)
        _require(not has_rule, claim_id, "no rule beside untestable", "one")
        return
    _require(bool(claim.tests and claim.decisions), claim_id, "tests and decisions, or untestable", "neither or one")
    _require(bool(claim.why), claim_id, "why, the reason for the rule", "nothing")
    for name, test in claim.tests.items():
        _validate_test(f"{claim_id}.tests.{name}", test)
    used: set[str] = set()
    for number, decision in enumerate(claim.decisions, start=1):
        place = f"{claim_id}.decisions {number}"
        named = [*decision.holds, *decision.fails, *decision.lacks]
        _require(bool(named), place, "a test that holds, fails or is lacked", "none")
        for _, field, _, _ in string.Formatter().parse(decision.says):
            if field is not None:
                filled, _, part = field.partition(".")
                _require(not part or part in PARTS, f"{place}.says", f"one of {', '.join(PARTS)}", repr(part))
                named.append(filled)
        for name in named:
            _require(name in claim.tests, place, f"a test ({', '.join(claim.tests)})", repr(name))
        used |= {*named}
    unused = ", ".join(name for name in claim.tests if name not in used)
    _require(not unused, claim_id, "a decision that uses each test", f"none for {unused}")


def _validate_test(place: str, test: RuleTest) -> None:
    _require(bool(test.table) != bool(test.printed), place, "a table or printed figures", "both or none")
    _require(bool(test.column) == bool(test.table), place, "a column of the table", repr(test.column))
    _require((test.rows == "product") <= bool(test.printed), place, "product of printed figures alone", "a table")
    _require(not test.printed or test.rows in {"sum", "product"}, place, "rows: sum or product", test.rows)
    _require(bool(test.low) == bool(test.high), place, "low and high together", "one")
    is_order, is_number = test.operator in {"<", "<=", ">", ">="}, isinstance(test.limit, float)
    _require(is_number or not is_order, place, "a number to compare with", repr(test.limit))
    needs_order = bool(test.low or test.effect)
    _require(is_order or not needs_order, place, "<, <=, > or >= with an interval or effect", test.operator)
    _require(not test.effect or (is_number and test.limit > 0), place, "a limit above 0 with effect", str(test.limit))  # type: ignore[operator]
    _require(not test.low or test.rows in {"one", "each", "any"}, place, "rows: one, each or any", test.rows)
    _require(not (test.over and test.low), place, "over without an interval", "both")
    _require(not test.of or test.rows == "sum", place, "rows: sum with of", test.rows)
    _require(bool(test.of) or test.least == 1, place, "of with least", "none")


def validate_places(rules: Rules, experiments: Iterable[Experiment]) -> None:
    """Raise `BenchError` unless tables, columns and experiments of all rules are those that are declared, both ways."""
    declared = list(experiments)
    owners = {table.name: (experiment.id, table) for experiment in declared for table in experiment.tables}
    for claim_id, claim in rules.claims.items():
        for name, test in claim.tests.items():
            place = f"{claim_id}.tests.{name}"
            if test.table and test.table not in owners:
                raise BenchError(f"{place}: expected a table of an experiment, found {test.table!r}")
            owner, table = owners[test.table] if test.table else ("", None)
            for column in sorted(test.columns() - {*(table.columns if table else ())}):
                raise BenchError(f"{place}: expected a column of {test.table}, found {column!r}")
            if owner and owner not in claim.experiments:
                raise BenchError(f"{place}: expected {owner} among the claim's experiments, found none")
        bearing = [experiment.id for experiment in declared if claim_id in experiment.claims]
        if sorted(bearing) != sorted(claim.experiments):
            expected = ", ".join(bearing) or "none"
            raise BenchError(
                f"{claim_id}: expected the experiments that name it ({expected}), found {', '.join(claim.experiments)}"
            )
