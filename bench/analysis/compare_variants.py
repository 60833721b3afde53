"""Variants of one run against each other: the levels of one factor, pair by pair, from the raw repeats.

Every other factor is held: a *stratum* is one combination of the others' levels, and a ratio is made within it, or,
where strata are pooled, over all of them, with a repeat counted once by the median over its strata.  All ratios of one
question are one family (`bench.analysis.paired`), so a narrower question has narrower intervals; it has to be asked
before its answer is known.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.analysis.compare_sources import Source
from bench.analysis.paired import UNRESOLVED, Estimate, compare, needed_clusters
from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

#: Logs that differ by less are one number: energy that is estimated as processor time times watts.
_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared: ``levels`` of ``factor``, the first being the base, where other factors are at ``where``.

    ``measures`` are names of the source's; strata are one if ``is_pooled``.
    """

    factor: str
    levels: tuple[str, ...]
    where: Mapping[str, tuple[str, ...]]
    measures: tuple[str, ...]
    is_pooled: bool = False


class Contrast(NamedTuple):
    """One ratio: ``level`` over the base (a control: the level over itself) in a stratum, named by pairs.

    ``lacking`` counts the repeats that have only one of the two, because the other failed or was void; ``same_as`` is
    the measure of which this one is a multiple, '' for one of its own.
    """

    measure: str
    stratum: tuple[tuple[str, str], ...]
    level: str
    is_control: bool
    estimate: Estimate
    lacking: int
    same_as: str


class Answer(NamedTuple):
    """All ratios of a question; ``family`` are those that its intervals hold for at once, ``needed`` repeats."""

    question: Question
    contrasts: tuple[Contrast, ...]
    family: int
    needed: int


class _Pairs(NamedTuple):
    """Logarithms of ratios by cluster, and how many clusters have only one side."""

    measure: str
    stratum: tuple[tuple[str, str], ...]
    level: str
    is_control: bool
    logs: Mapping[Any, list[float]]
    lacking: int


def ask(
    source: Source,
    observations: "pd.DataFrame",
    variants: str,
    where: Sequence[str],
    measures: Sequence[str],
    *,
    is_pooled: bool,
) -> Question:
    """The question in a user's words: ``FACTOR`` or ``FACTOR=BASE,LEVEL,...``, ``COLUMN=VALUE,...``, names of measures.

    A level may be the beginning of several, as pow is of pow-12.  Raises `BenchError` for words that name nothing.
    """
    factor, _, words = variants.partition("=")
    levels = _choose(source, observations, factor, words)
    if len(levels) < 2:
        raise BenchError(f"--variants: expected two levels of {factor} or more, found {', '.join(levels) or 'none'}")
    chosen: dict[str, tuple[str, ...]] = {}
    for item in where:
        name, _, values = item.partition("=")
        if name == factor:
            raise BenchError(f"--where: expected a factor besides {factor}, found {item!r}")
        chosen[name] = (*chosen.get(name, ()), *_choose(source, observations, name, values, "--where"))
    for name in measures:
        if name not in source.measures:
            raise BenchError(f"--measure: expected one of {', '.join(source.measures)}, found {name!r}")
    kept = tuple(dict.fromkeys(measures)) or tuple(source.measures)
    return Question(factor, levels, chosen, kept, is_pooled)


def _choose(
    source: Source, observations: "pd.DataFrame", factor: str, words: str, option: str = "--variants"
) -> tuple[str, ...]:
    """The levels that ``words`` name, all without words."""
    if factor not in source.factors:
        raise BenchError(f"{option}: expected a factor ({', '.join(source.factors)}), found {factor!r}")
    known = tuple(dict.fromkeys(observations[factor]))
    if not words:
        return known
    found: list[str] = []
    for word in words.split(","):
        matching = [word] if word in known else [level for level in known if level.startswith(f"{word}-")]
        if not matching:
            raise BenchError(f"{option}: expected levels of {factor} ({', '.join(known)}), found {word!r}")
        found += matching
    return tuple(dict.fromkeys(found))


def answer(source: Source, observations: "pd.DataFrame", question: Question) -> Answer:
    """Every ratio that the question asks for; `BenchError` if no two observations can be paired."""
    frame = observations
    for name, levels in question.where.items():
        frame = frame[frame[name].isin(levels)]
    pairs = list(_pair(source, frame, question))
    if not any(item.logs for item in pairs):
        raise BenchError(
            f"--variants: expected pairs of {question.levels[0]} and {', '.join(question.levels[1:])}, found none: "
            "they were not measured together"
        )
    same = _find_same(source, pairs)
    counted = [item.is_control for item, twin in zip(pairs, same, strict=True) if item.logs and not twin]
    families = {is_control: counted.count(is_control) for is_control in (False, True)}
    contrasts = tuple(
        Contrast(*item[:4], _estimate(source, item, families[item.is_control]), item.lacking, twin)
        for item, twin in zip(pairs, same, strict=True)
    )
    return Answer(question, contrasts, families[False], needed_clusters(max(families[False], 1)))


def _estimate(source: Source, item: _Pairs, family: int) -> Estimate:
    words = source.measures[item.measure].words
    if not item.logs:
        return Estimate(math.nan, math.nan, math.nan, 0, UNRESOLVED)
    return compare(item.logs.values(), family, is_control=item.is_control, words=words)


def _pair(source: Source, frame: "pd.DataFrame", question: Question) -> Iterator[_Pairs]:
    """The logarithms of every ratio, measure by measure, strata and levels in the order of their declaration.

    A level that a stratum has no observation of is no ratio there; one whose repeats all failed is one without pairs.
    """
    others = [name for name in source.factors if name != question.factor]
    base = question.levels[0]
    sides = {
        (level, is_control): part.set_index([*others, "cluster", "place"])
        for (level, is_control), part in frame.groupby([question.factor, "is_control"], sort=False)
    }
    wanted = [(level, False, base) for level in question.levels[1:]]
    wanted += [(level, True, level) for level in question.levels if (level, True) in sides]
    strata = [()] if question.is_pooled else list(dict.fromkeys(frame[others].itertuples(index=False, name=None)))
    for measure in question.measures:
        for stratum in strata:
            for level, is_control, over in wanted:
                ours, theirs = sides.get((level, is_control)), sides.get((over, False))
                if ours is None or theirs is None:
                    continue
                found = _divide(ours[measure], theirs[measure], len(others), stratum)
                if found is not None:
                    named = tuple((name, value) for name, value in zip(others, stratum, strict=False) if value)
                    yield _Pairs(measure, named, level, is_control, *found)


def _divide(
    ours: "pd.Series[float]", theirs: "pd.Series[float]", depth: int, stratum: tuple[str, ...]
) -> tuple[dict[Any, list[float]], int] | None:
    """Logarithms of the ratios by cluster, within a stratum if one is given; None if either side is not in it."""
    left, right = (_within(side, stratum) for side in (ours, theirs))
    if not left or not right:
        return None
    logs: dict[Any, list[float]] = {}
    for key, value in left.items():
        other = right.get(key, math.nan)
        if value > 0 and other > 0 and math.isfinite(value / other):
            logs.setdefault(key[depth], []).append(math.log(value / other))
    return logs, len({key[depth] for key in {*left, *right}} - {*logs})


def _within(side: "pd.Series[float]", stratum: tuple[str, ...]) -> dict[tuple[Any, ...], float]:
    """The values in a stratum by their whole key."""
    keys: list[tuple[Any, ...]] = side.index.to_list()
    return {key: value for key, value in zip(keys, side, strict=True) if not stratum or key[: len(stratum)] == stratum}


def _find_same(source: Source, pairs: Sequence[_Pairs]) -> list[str]:
    """Per item the measure of which it is a multiple, pair by pair: what is one comparison counts once."""
    logs = {item[:4]: item.logs for item in pairs}
    found = []
    for item in pairs:
        of = source.measures[item.measure].of
        twin = logs.get((of, *item[1:4]))
        found.append(of if twin and item.logs and _are_equal(item.logs, twin) else "")
    return found


def _are_equal(one: Mapping[Any, list[float]], other: Mapping[Any, list[float]]) -> bool:
    return one.keys() == other.keys() and all(
        len(values) == len(other[key]) and all(abs(a - b) < _SAME for a, b in zip(values, other[key], strict=True))
        for key, values in one.items()
    )
