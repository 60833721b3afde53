"""Clauses as people write them: plain values, as TOML or JSON gives them, made into what goes on the chain.

Strict, since what is misspelt would never match, or always: every name has to be known, and every word of a fact that
has no others.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ehrcore.clauses import (
    MOST_CLAUSES,
    MOST_DEPTH,
    MOST_PARTS,
    And,
    Clause,
    Compare,
    Comparison,
    Effect,
    Expression,
    Match,
    Not,
    NumberFact,
    Or,
    WordFact,
    action_word,
    validate_clauses,
)
from ehrcore.consent import Action, Emergency, Purpose
from ehrcore.errors import ParameterError
from ehrcore.records import RecordKind, kind_word

#: Words of the facts that have no others.
WORDS: Final[Mapping[WordFact, frozenset[str]]] = MappingProxyType(
    {
        WordFact.ACTION: frozenset(action_word(action) for action in Action),
        WordFact.EMERGENCY: frozenset(Emergency) - {Emergency.NONE},
        WordFact.KIND: frozenset(kind_word(kind) for kind in RecordKind),
        WordFact.PURPOSE: frozenset(Purpose),
    }
)


_ALWAYS: Final = And(())
_GROUPS: Final[Mapping[str, Callable[[tuple[Expression, ...]], Expression]]] = MappingProxyType({"all": And, "any": Or})


def parse_clauses(document: Any) -> tuple[Clause, ...]:
    """Clauses from plain values, as TOML or JSON gives them: ``{"clauses": [{"then": EFFECT, "when": EXPRESSION}]}``.

    An expression is ``{"fact": NAME, COMPARISON: VALUE}`` (words: ``is`` one word, ``in`` a list of them; numbers:
    ``is``, ``below``, ``at_least``), ``{"not": EXPRESSION}``, or ``{"all": [...]}`` and ``{"any": [...]}``; a clause
    without ``when`` always holds.  `ParameterError` says in one line what is wrong, and where.
    """
    table = _table(document, "document", {"clauses"})
    given = _list(table.get("clauses"), "clauses")
    if len(given) > MOST_CLAUSES:
        raise ParameterError(f"clauses: expected 1 to {MOST_CLAUSES}, found {len(given)}")
    clauses = tuple(_parse_clause(item, f"clauses[{index}]") for index, item in enumerate(given))
    validate_clauses(clauses)
    return clauses


def write_clauses(clauses: Sequence[Clause]) -> list[str]:
    """One line per clause, in words, for whoever is to sign."""
    return [f"{clause.effect}{'' if clause.when == _ALWAYS else f' when {_words(clause.when)}'}" for clause in clauses]


def _words(expression: Expression) -> str:
    match expression:
        case Match(fact=fact, words=words):
            return f"{fact} is {' or '.join(words)}"
        case Compare(fact=number_fact, comparison=comparison, number=number):
            return f"{number_fact} {comparison.replace('_', ' ')} {number}"
        case Not(part=part):
            return f"not ({_words(part)})"
        case And(parts=parts) | Or(parts=parts):
            is_and = isinstance(expression, And)
            joined = f" {'and' if is_and else 'or'} ".join(f"({_words(part)})" for part in parts)
            return joined or ("always" if is_and else "never")


def _parse_clause(given: Any, where: str) -> Clause:
    table = _table(given, where, {"then", "when"})
    effect = _convert(table.get("then"), Effect, f"{where}.then", table.get("then"))
    when = _parse(table["when"], f"{where}.when", MOST_DEPTH) if "when" in table else _ALWAYS
    try:
        return Clause(effect, when)
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}") from None


def _parse(given: Any, where: str, levels: int) -> Expression:
    if not levels:
        raise ParameterError(f"{where}: expected at most {MOST_DEPTH} levels, found more")
    if isinstance(given, dict) and len(given) == 1:
        ((name, value),) = given.items()
        if name == "not":
            return Not(_parse(value, f"{where}.not", levels - 1))
        if name in _GROUPS:
            items = _list(value, f"{where}.{name}")
            if len(items) > MOST_PARTS:
                raise ParameterError(f"{where}.{name}: expected at most {MOST_PARTS} parts, found {len(items)}")
            return _GROUPS[name](
                tuple(_parse(item, f"{where}.{name}[{index}]", levels - 1) for index, item in enumerate(items))
            )
    return _parse_leaf(given, where)


def _parse_leaf(given: Any, where: str) -> Expression:
    table = _table(given, where, {"fact", "in", *Comparison})
    fact, others = table.get("fact"), [name for name in table if name != "fact"]
    if fact is None or len(others) != 1:
        raise ParameterError(f"{where}: expected all, any, not, or a fact and one comparison, found {_show(given)}")
    value, where = table[others[0]], f"{where}.{others[0]}"
    if not isinstance(fact, str) or fact not in {*WordFact, *NumberFact}:
        raise ParameterError(f"{where}: expected one of {', '.join((*WordFact, *NumberFact))}, found {_show(fact)}")
    if fact in set(NumberFact):
        # Refused here, for a float that is whole would convert.
        if type(value) is not int:
            raise ParameterError(f"{where}: expected an integer, found {_show(value)}")
        compare: Compare = _convert(["compare", fact, others[0], value], Compare, where, value)
        return compare
    if others[0] not in {"is", "in"}:
        raise ParameterError(f"{where}: expected is or in for a word, found {others[0]}")
    match: Match = _convert(["match", fact, value if others[0] == "in" else [value]], Match, where, value)
    known = WORDS.get(match.fact, frozenset(match.words))
    for word in match.words:
        if word not in known:
            raise ParameterError(f"{where}: expected one of {', '.join(sorted(known))}, found {_show(word)}")
    return match


def _convert(given: Any, kind: type[Any], where: str, value: Any) -> Any:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        told, _, _ = str(error).partition(" - at")
        raise ParameterError(f"{where}: {told}, found {_show(value)}") from None


def _table(given: Any, where: str, names: set[str]) -> dict[str, Any]:
    if not isinstance(given, dict) or not set(given) <= names:
        raise ParameterError(f"{where}: expected a table of {', '.join(sorted(names))}, found {_show(given)}")
    return given


def _list(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list):
        raise ParameterError(f"{where}: expected a list, found {_show(given)}")
    return given


def _show(given: Any) -> str:
    """The beginning of a value, short and in one line; what is nested is named, since to show it may not end soon."""
    if isinstance(given, int) and abs(given) >= 1 << 64:
        return "a number beyond all ranges"
    if isinstance(given, dict):
        return f"a table of {', '.join(sorted(map(str, list(given)[:8]))) or 'nothing'}"[:80]
    return "a list" if isinstance(given, list) else ascii(given)[:80]
