"""Which factor explains how much: the variance of a response over a balanced factorial design, split exactly.

Every combination of the factors' levels (a *cell*) is there once in each repeat.  Then the sums of squares of the
main effects, of the interactions of two, of all higher ones together, of the repeats and of what is left (`RESIDUAL`)
add up to the total, whatever their order, and eta squared is each one's part of it.  Repeats are a block: what is
drawn or measured once per repeat moves all of its cells alike and is no error of a cell.  The shares depend on the
levels that were chosen; they rank the factors over those levels and say nothing of others.

Responses are logarithms, so that factors that multiply do not seem to interact.
Source: Montgomery, Design and Analysis of Experiments, 8th edition, chapter 5; Jain, The Art of Computer Systems
Performance Analysis, chapters 18 to 23 (allocation of variation).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

HIGHER: Final = "higher interactions"
REPEATS: Final = "repeats"
RESIDUAL: Final = "residual"


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the total sum of squares.

    ``share`` (eta squared) lies between 0 and 1 and is NaN where nothing varies; ``low`` and ``high`` are the least and
    the greatest share that single repeats give for a term of the cells, each taken as a whole design of its own (which
    has no residual, so that chance counts with its cells there).
    """

    name: str
    factors: tuple[str, ...]
    freedom: int
    squares: float
    share: float
    low: float = math.nan
    high: float = math.nan


def decompose(values: "Array", factors: Sequence[str]) -> list[Term]:
    """All terms of ``values``, an array with an axis per factor, in order, and the repeats (at least 1) last.

    Main effects come first, then interactions of two, the higher ones, repeats and residual; without a second repeat
    the last two are 0.  Raises `ValueError` for an array of other shape, with less than two levels, or with gaps.
    """
    import numpy as np

    if values.ndim != len(factors) + 1 or min(values.shape[:-1], default=0) < 2 or not values.shape[-1]:
        raise ValueError(f"expected 2 or more levels of {', '.join(factors)} and a repeat, found {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"expected a finite value in every cell and repeat, found {np.sum(~np.isfinite(values))} gaps")
    total = float(((values - values.mean()) ** 2).sum())
    found = _split(values, factors)
    singles = [_split(values[..., place, None], factors) for place in range(values.shape[-1])]
    terms = []
    for index, (name, names, freedom, squares) in enumerate(found):
        by_repeat = [_share(one[index][3], sum(item[3] for item in one)) for one in singles]
        ends = (min(by_repeat), max(by_repeat)) if name not in {REPEATS, RESIDUAL} else (math.nan, math.nan)
        terms.append(Term(name, names, freedom, squares, _share(squares, total), *ends))
    return terms


def _share(squares: float, total: float) -> float:
    return squares / total if total > 0 else math.nan


def _split(values: "Array", factors: Sequence[str]) -> list[tuple[str, tuple[str, ...], int, float]]:
    """Name, factors, degrees of freedom and sum of squares of each term."""
    size, repeats, axes = values.size, values.shape[-1], range(len(factors))
    middle = values - values.mean()

    def means(kept: tuple[int, ...]) -> "Array":
        found: Array = middle.mean(axis=tuple(axis for axis in range(values.ndim) if axis not in kept), keepdims=True)
        return found

    def squares_of(effect: "Array") -> float:
        return float((effect**2).sum()) * (size // effect.size)

    rows: list[tuple[str, tuple[str, ...], int, float]] = [
        (factors[a], (factors[a],), values.shape[a] - 1, squares_of(means((a,)))) for a in axes
    ]
    for first, second in combinations(axes, 2):
        effect = means((first, second)) - means((first,)) - means((second,))
        freedom = (values.shape[first] - 1) * (values.shape[second] - 1)
        pair = (factors[first], factors[second])
        rows.append((" × ".join(pair), pair, freedom, squares_of(effect)))
    cells, blocks = means(tuple(axes)), means((len(factors),))
    lower, cell_count = sum(row[3] for row in rows), size // repeats
    # Differences of sums: rounding must not make them negative.
    higher = max(squares_of(cells) - lower, 0.0) if len(factors) > 2 else 0.0
    freedom = cell_count - 1 - sum(row[2] for row in rows)
    rows += [(HIGHER, (), freedom, higher), (REPEATS, (), repeats - 1, squares_of(blocks))]
    return [*rows, (RESIDUAL, (), (cell_count - 1) * (repeats - 1), squares_of(middle - cells - blocks))]


def to_array(frame: "pd.DataFrame", factors: Sequence[str], repeat: str, response: str) -> "Array":
    """The logarithms of ``response`` (above 0) for `decompose`, levels in the order of their first row.

    Raises `ValueError` unless each combination of levels is there exactly once per repeat.
    """
    import numpy as np

    axes = [*factors, repeat]
    levels = {name: list(dict.fromkeys(frame[name])) for name in axes}
    shape = tuple(len(found) for found in levels.values())
    places = {name: {level: place for place, level in enumerate(found)} for name, found in levels.items()}
    values = np.full(shape, np.nan)
    for row in frame[[*axes, response]].itertuples(index=False):
        place = tuple(places[name][level] for name, level in zip(axes, row, strict=False))
        if not np.isnan(values[place]):
            raise ValueError(f"expected one value per cell and repeat, found two of {row[:-1]}")
        values[place] = math.log(row[-1])
    if np.isnan(values).any():
        raise ValueError(f"expected {values.size} values, one per cell and repeat, found {len(frame)}")
    return values


def keep_balanced(
    frame: "pd.DataFrame", axes: Mapping[str, Sequence[Any]], responses: Sequence[str]
) -> tuple["pd.DataFrame", list[str]]:
    """The rows of a design without gaps, and what was left out for that, as ``factor level`` in words.

    ``axes`` are the planned levels of each factor, and the repeats last.  A combination without a row, or with a
    response that is missing or not above 0, is a gap.  As long as there is one, the level or repeat with the greatest
    part of its combinations missing goes, as a whole (a repeat before a level, the last before the first where it is
    alike), so what is left out does not depend on what the rest says.
    """
    import pandas as pd

    planned = pd.MultiIndex.from_product(list(axes.values()), names=list(axes)).to_frame(index=False)
    whole = planned.merge(frame, how="left", on=list(axes), validate="one_to_one")
    is_good = (whole[list(responses)].astype(float) > 0).all(axis=1)
    left_out = []
    while len(whole) and not is_good.all():
        gaps = [
            ((~is_good[whole[name] == level]).mean(), place, index, name, level)
            for place, name in enumerate(axes)
            for index, level in enumerate(dict.fromkeys(whole[name]))
        ]
        name, level = max(gaps, key=lambda gap: gap[:3])[3:]
        left_out.append(f"{name} {level}")
        kept = whole[name] != level
        whole, is_good = whole[kept], is_good[kept]
    return whole.reset_index(drop=True), left_out
