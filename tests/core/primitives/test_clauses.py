"""Clauses: evaluated as the naive reading has it, total, and bounded before they cost anything."""

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore import clauses
from ehrcore.clauses import (
    FUEL,
    MOST_CLAUSES,
    MOST_DEPTH,
    MOST_NODES,
    MOST_PARTS,
    And,
    Clause,
    Compare,
    Comparison,
    Effect,
    Expression,
    Facts,
    Match,
    Not,
    NumberFact,
    Or,
    WordFact,
    decide,
    evaluate,
    measure,
    validate_clauses,
)
from ehrcore.codec import MAX_MESSAGE_BYTES, decode, encode
from ehrcore.drafting import parse_clauses
from ehrcore.errors import CodecError, ParameterError

WORDS, NUMBERS = ("a", "b", "c"), (0, 1, 2)
YES, NO = And(()), Or(())
NOTHING = Facts({}, {})


# -- evaluation against its definition -------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.builds(Match, st.sampled_from(WordFact), st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(tuple)),
    st.builds(Compare, st.sampled_from(NumberFact), st.sampled_from(Comparison), st.sampled_from(NUMBERS)),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(Not, parts), *(st.builds(kind, st.lists(parts, max_size=3).map(tuple)) for kind in (And, Or))
    ),
    max_leaves=6,
).filter(lambda expression: levels(expression) <= MOST_DEPTH)
FACTS = st.builds(
    Facts,
    st.dictionaries(st.sampled_from(WordFact), st.sampled_from(WORDS)),
    st.dictionaries(st.sampled_from(NumberFact), st.sampled_from(NUMBERS)),
)
CLAUSES = st.lists(st.builds(Clause, st.sampled_from(Effect), EXPRESSIONS), min_size=1, max_size=4).map(tuple)


def levels(expression: Expression) -> int:
    return 1 + max(map(levels, parts(expression)), default=0)


def parts(expression: Expression) -> tuple[Expression, ...]:
    return getattr(expression, "parts", ()) or ((expression.part,) if isinstance(expression, Not) else ())


def nodes(expression: Expression) -> int:
    return 1 + sum(map(nodes, parts(expression)))


def naive(expression: Expression, facts: Facts) -> bool:
    """The truth of an expression, as its text in Python would be."""
    return bool(eval(text_of(expression), {"facts": facts, "WordFact": WordFact, "NumberFact": NumberFact}))


def text_of(expression: Expression) -> str:
    match expression:
        case Match():
            return f"(facts.words.get(WordFact({expression.fact.value!r})) in {expression.words!r})"
        case Compare():
            sign = {"is": "==", "below": "<", "at_least": ">="}[expression.comparison]
            fact = f"NumberFact({expression.fact.value!r})"
            return f"({fact} in facts.numbers and facts.numbers[{fact}] {sign} {expression.number})"
        case Not():
            return f"(not {text_of(expression.part)})"
        case And():
            return f"(True{''.join(f' and {text_of(part)}' for part in expression.parts)})"
        case Or():
            return f"(False{''.join(f' or {text_of(part)}' for part in expression.parts)})"


@given(clauses_=CLAUSES, facts=FACTS)
def test_clauses_decide_as_the_naive_reading_does(clauses_: tuple[Clause, ...], facts: Facts) -> None:
    said = [(clause.effect, naive(clause.when, facts)) for clause in clauses_]
    is_against = (Effect.DENY, True) in said or (Effect.REQUIRE, False) in said
    found = decide(clauses_, facts)
    assert evaluate(clauses_, facts)[0] == tuple(holds for _, holds in said)
    assert found.is_permitted == ((Effect.PERMIT, True) in said and not is_against)
    assert found.steps <= sum(nodes(clause.when) for clause in clauses_)
    assert (found.clause is not None) == is_against


@given(clauses_=CLAUSES, facts=FACTS, fuel=st.integers(0, 12))
def test_less_fuel_never_permits_more(clauses_: tuple[Clause, ...], facts: Facts, fuel: int) -> None:
    whole, found = decide(clauses_, facts), decide(clauses_, facts, fuel)
    assert found.steps <= fuel
    assert found == whole if whole.steps <= fuel else not found.is_permitted


def test_a_planted_evaluator_is_told_from_the_naive_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property catches an evaluator that lets the first denial pass."""
    monkeypatch.setattr(clauses, "any", lambda given: next(iter(given), False), raising=False)
    with pytest.raises(AssertionError):
        settings(max_examples=300, database=None)(
            given(CLAUSES, FACTS)(test_clauses_decide_as_the_naive_reading_does.hypothesis.inner_test)  # type: ignore[attr-defined]
        )()


@pytest.mark.parametrize(
    ("effects", "is_permitted"),
    [
        ([], False),
        ([(Effect.PERMIT, YES)], True),
        ([(Effect.PERMIT, NO)], False),
        ([(Effect.REQUIRE, YES)], False),
        ([(Effect.PERMIT, YES), (Effect.REQUIRE, NO)], False),
        ([(Effect.PERMIT, YES), (Effect.REQUIRE, YES)], True),
        ([(Effect.DENY, YES), (Effect.PERMIT, YES)], False),
        ([(Effect.PERMIT, YES), (Effect.DENY, YES)], False),
        ([(Effect.PERMIT, YES), (Effect.DENY, NO)], True),
    ],
)
def test_denials_come_first_and_without_a_permit_nothing_passes(effects: Any, is_permitted: bool) -> None:
    assert decide([Clause(*pair) for pair in effects], NOTHING).is_permitted is is_permitted


@pytest.mark.parametrize("comparison", Comparison)
def test_a_fact_that_is_not_had_matches_nothing(comparison: Comparison) -> None:
    clause = Clause(Effect.PERMIT, Compare(NumberFact.USES, comparison, 0))
    assert not decide([clause], NOTHING).is_permitted
    assert not decide([Clause(Effect.PERMIT, Match(WordFact.PURPOSE, ("TREAT",)))], NOTHING).is_permitted


# -- bounds ----------------------------------------------------------------------------------------------------------


def nested(depth: int) -> Expression:
    expression: Expression = YES
    for _ in range(depth - 1):
        expression = Not(expression)
    return expression


def wide(count: int) -> Expression:
    """A tree of ``count`` nodes on three levels."""
    full, rest = divmod(count - 1, MOST_PARTS)
    groups = (And((YES,) * (MOST_PARTS - 1)),) * full
    return And((*groups, And((YES,) * (rest - 1))) if rest else groups)


@pytest.mark.parametrize("count", [2, 17, 64, 100, MOST_NODES])
def test_a_tree_of_as_many_nodes_as_may_be_is_taken(count: int) -> None:
    assert measure(wide(count)) == nodes(wide(count)) == count
    validate_clauses([Clause(Effect.PERMIT, wide(count))])
    assert decide([Clause(Effect.PERMIT, wide(count))], NOTHING).steps == count


def test_a_tree_of_as_many_levels_as_may_be_is_taken_and_no_more() -> None:
    assert Clause(Effect.PERMIT, nested(MOST_DEPTH)).when == nested(MOST_DEPTH)
    with pytest.raises(ParameterError, match=f"at most {MOST_DEPTH} levels, found {MOST_DEPTH + 1}"):
        Clause(Effect.PERMIT, nested(MOST_DEPTH + 1))
    with pytest.raises(ParameterError, match=f"at most {MOST_NODES} nodes"):
        Clause(Effect.PERMIT, wide(MOST_NODES + 1))


def test_all_clauses_together_are_bounded() -> None:
    half = Clause(Effect.PERMIT, wide(MOST_NODES // 2))
    validate_clauses([half, half])
    with pytest.raises(ParameterError, match=f"at most {MOST_NODES} nodes, found {MOST_NODES + 1}"):
        validate_clauses([half, half, Clause(Effect.PERMIT, YES)])
    for count in (0, MOST_CLAUSES + 1):
        with pytest.raises(ParameterError, match=f"1 to {MOST_CLAUSES}, found {count}"):
            validate_clauses([Clause(Effect.PERMIT, YES)] * count)


def test_no_agreement_within_its_bounds_runs_out_of_fuel() -> None:
    assert MOST_NODES <= FUEL


def unchecked(when: Expression) -> Clause:
    """A clause that was never measured, as a bug might make one."""
    clause = Clause(Effect.PERMIT, YES)
    msgspec.structs.force_setattr(clause, "when", when)
    return clause


@pytest.mark.parametrize("bomb", [nested(50_000), And((wide(100),) * 10_000)], ids=["deep", "wide"])
def test_what_was_never_measured_runs_out_of_fuel_and_raises_nothing(bomb: Expression) -> None:
    found = decide([unchecked(bomb)], NOTHING)
    assert (found.is_permitted, found.steps, found.clause) == (False, FUEL, 0)


def deep(levels_: int) -> bytes:
    return b"\x92\xa6permit" + b"\x92\xa3not" * levels_ + encode(YES)


def broad(width: int, levels_: int) -> bytes:
    """A tree of ``width ** levels_`` leaves, whose text is as long."""
    leaf = encode(YES)
    for _ in range(levels_):
        leaf = b"\x92\xa3and" + bytes([0x90 + width]) + leaf * width
    return b"\x92\xa6permit" + leaf


@pytest.mark.parametrize(
    "bomb",
    [
        deep(MOST_DEPTH),
        deep(1_000),
        deep(MAX_MESSAGE_BYTES // 5 - 10),
        broad(15, 4),
        broad(3, 7),
        b"\x92\xa6permit\x92\xa3and\xdc\xff\xff" + encode(YES) * 0xFFFF,
        b"\x92\xa6permit\x92\xa3and\xdd\xff\xff\xff\xff",
        b"\x92\xa6permit\x93\xa5match\xa4kind\xdc\xff\xff" + b"\xa1a" * 0xFFFF,
    ],
    ids=["nine-levels", "thousand-levels", "megabyte-deep", "50k-leaves", "2k-leaves", "wide", "announced", "words"],
)
def test_a_bomb_is_refused_quickly(bomb: bytes) -> None:
    """Decoding is linear in what was sent, which a megabyte bounds: a second is a hundred times what it takes."""
    assert len(bomb) <= MAX_MESSAGE_BYTES
    begin = time.process_time()
    with pytest.raises(CodecError):
        decode(bomb, Clause)
    assert time.process_time() - begin < 1


# -- as people write them --------------------------------------------------------------------------------------------


def parse(when: Any, then: str = "permit") -> Clause:
    (clause,) = parse_clauses({"clauses": [{"then": then, "when": when}]})
    return clause


def test_what_people_write_is_what_goes_on_the_chain() -> None:
    written = {
        "all": [
            {"fact": "kind", "in": ["medication", "diagnostic-report"]},
            {"not": {"any": [{"fact": "uses", "at_least": 3}, {"fact": "purpose", "is": "ETREAT"}]}},
        ]
    }
    assert parse(written, "require") == Clause(
        Effect.REQUIRE,
        And(
            (
                Match(WordFact.KIND, ("medication", "diagnostic-report")),
                Not(
                    Or(
                        (
                            Compare(NumberFact.USES, Comparison.AT_LEAST, 3),
                            Match(WordFact.PURPOSE, ("ETREAT",)),
                        )
                    )
                ),
            )
        ),
    )
    assert parse_clauses({"clauses": [{"then": "permit"}]}) == (Clause(Effect.PERMIT, YES),)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "document: expected a table of clauses, found None"),
        ({"clauses": [], "more": 1}, "document: expected a table of clauses, found a table of clauses, more"),
        ({"clauses": {}}, "clauses: expected a list, found a table of nothing"),
        ({"clauses": []}, "clauses: expected 1 to 16, found 0"),
        ({"clauses": [{"then": "permit"}] * 17}, "clauses: expected 1 to 16, found 17"),
        ({"clauses": [{"then": "allow"}]}, "clauses[0].then: Invalid enum value 'allow', found 'allow'"),
        ({"clauses": [{"than": "permit"}]}, "clauses[0]: expected a table of then, when, found a table of than"),
    ],
)
def test_a_document_that_is_none_is_told_in_one_line(document: Any, told: str) -> None:
    with pytest.raises(ParameterError) as error:
        parse_clauses(document)
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ({}, "when: expected all, any, not, or a fact and one comparison, found a table of nothing"),
        ([], "when: expected a table of at_least, below, fact, in, is, found a list"),
        ({"fact": "uses"}, "when: expected all, any, not, or a fact and one comparison, found a table of fact"),
        ({"fact": "uses", "is": 1, "below": 2}, "found a table of below, fact, is"),
        ({"all": [], "any": []}, "when: expected a table of at_least, below, fact, in, is, found a table of all, any"),
        ({"fact": "age", "is": 1}, "when.is: expected one of action, author,"),
        ({"fact": ["uses"], "is": 1}, "found a list"),
        ({"fact": "uses", "is": "1"}, "when.is: expected an integer, found '1'"),
        ({"fact": "uses", "is": 1.0}, "when.is: expected an integer, found 1.0"),
        ({"fact": "uses", "is": True}, "when.is: expected an integer, found True"),
        ({"fact": "uses", "is": -1}, "when.is: Expected `int` >= 0"),
        ({"fact": "uses", "is": 1 << 16_000}, "found a number beyond all ranges"),
        ({"fact": "uses", "in": [1]}, "when.in: expected an integer, found a list"),
        ({"fact": "kind", "below": "bill"}, "when.below: expected is or in for a word, found below"),
        ({"fact": "kind", "is": "medicine"}, "when.is: expected one of bill, birth, death, diagnostic-report,"),
        ({"fact": "purpose", "is": "treat"}, "when.is: expected one of ETREAT,"),
        ({"fact": "action", "in": []}, "when.in: Expected `array` of length >= 1"),
        ({"fact": "author", "is": "a b"}, "when.is: Expected `str` matching regex"),
        ({"fact": "author", "is": "a" * 65}, "when.is: Expected `str` of length <= 64"),
        ({"all": [{"any": [{"not": {"fact": "x", "is": 1}}]}]}, "when.all[0].any[0].not.is: expected one of"),
        ({"all": [{"all": []}] * 17}, "when.all: expected at most 16 parts, found 17"),
    ],
)
def test_an_expression_that_is_none_is_told_with_its_place(when: Any, told: str) -> None:
    with pytest.raises(ParameterError) as error:
        parse(when)
    assert told in str(error.value)
    assert str(error.value).startswith("clauses[0]")
    assert len(str(error.value)) < 300
    assert len(str(error.value).splitlines()) == 1


def test_what_is_nested_without_end_is_refused_at_its_ninth_level() -> None:
    when: dict[str, Any] = {}
    when["not"] = when
    with pytest.raises(ParameterError, match="at most 8 levels, found more"):
        parse(when)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(sorted(
        {"clauses", "then", "when", "permit", *WordFact, *NumberFact, *Comparison, "all", "any", "not", "fact"}))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.sampled_from(["clauses", "then", "when", "fact", "is", "in", "below", "at_least", "all", "any", "not", "x"]),
        inner, max_size=3)),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_any_document_is_parsed_or_refused(document: Any) -> None:
    for given_ in (document, {"clauses": [{"then": "permit", "when": document}]}):
        try:
            found = parse_clauses(given_)
        except ParameterError:
            continue
        else:
            assert decode(encode(found), tuple[Clause, ...]) == found
