"""How many people look alike once names are dropped: k-anonymity, l-diversity, and what a sample says of it.

k: the size of the smallest class of people with equal quasi-identifiers (Sweeney, k-Anonymity, 2002).  l: the fewest
distinct diagnoses in a class (Machanavajjhala et al., l-Diversity, 2007): a class of many who all have one diagnosis
gives it away without naming anybody.  Who is unique in a sample need not be so in the population; what a unique match
is worth there is estimated from the sample alone by data intrusion simulation (Skinner and Elliot, A Measure of
Disclosure Risk for Microdata, JRSS B 64, 2002) and, since these people are made up, compared with the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.privacy.population import CODES_PER_REGION, DAYS_PER_YEAR, People

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Columns = tuple[NDArray[np.int64], ...]

_TOP_AGE: Final = 80


def _band(people: People, years: int) -> "NDArray[np.int64]":
    """Ages in bands, all from 80 on in one."""
    import numpy as np

    found: NDArray[np.int64] = np.minimum(people.age_days // DAYS_PER_YEAR, _TOP_AGE) // years
    return found


#: Generalisation -> the columns that remain, from all that a Patient resource says to next to nothing.
LEVELS: Final[dict[str, Callable[[People], "Columns"]]] = {
    "birth date, sex, postal code": lambda people: (people.age_days, people.sex, people.code),
    "birth date, sex, region": lambda people: (people.age_days, people.sex, people.code // CODES_PER_REGION),
    "birth date, sex": lambda people: (people.age_days, people.sex),
    "birth month, sex, postal code": lambda people: (people.age_days // 30, people.sex, people.code),
    "birth year, sex, postal code": lambda people: (people.age_days // DAYS_PER_YEAR, people.sex, people.code),
    "birth year, sex, region": lambda people: (
        people.age_days // DAYS_PER_YEAR, people.sex, people.code // CODES_PER_REGION,
    ),
    "5 years (80+ as one), sex, region": lambda people: (
        _band(people, 5), people.sex, people.code // CODES_PER_REGION,
    ),
    "10 years (80+ as one), sex": lambda people: (_band(people, 10), people.sex),
}  # fmt: skip
FINEST, COARSEST = next(iter(LEVELS)), list(LEVELS)[-1]


@dataclass(frozen=True, slots=True)
class Anonymity:
    """What is left of people's anonymity; shares are of people."""

    people: int
    classes: int
    smallest_class: int
    unique_share: float
    under_5_share: float
    under_11_share: float
    least_diagnoses: int
    given_away_share: float


def classify(columns: "Columns") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """The class of everybody, and the size of each class."""
    import numpy as np

    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        code = code * (int(column.max()) + 1) + column
    _, classes, sizes = np.unique(code, return_inverse=True, return_counts=True)
    return classes, sizes


def measure_anonymity(people: People, level: str) -> Anonymity:
    """k, shares of small classes, and l, at one level of generalisation."""
    import numpy as np

    classes, sizes = classify(LEVELS[level](people))
    of = sizes[classes]
    values = int(people.diagnosis.max()) + 1
    pairs = np.unique(classes * values + people.diagnosis)
    distinct = np.bincount(pairs // values, minlength=len(sizes))
    # A class of one gives away its diagnosis as well, but there somebody is singled out first.
    is_given_away = (distinct[classes] == 1) & (of > 1)
    return Anonymity(
        len(people), len(sizes), int(sizes.min()), float((of == 1).mean()), float((of < 5).mean()),
        float((of < 11).mean()), int(distinct.min()), float(is_given_away.mean()),
    )  # fmt: skip


def estimate_match(sizes: "NDArray[np.int64]", fraction: float) -> float | None:
    """The chance that a match with somebody unique in the sample is right, from the sample alone.

    ``sizes`` are those of the sample's classes, ``fraction`` in (0, 1] is how much of the population it is.
    None if nobody is unique and nobody is one of a pair.
    """
    ones, twos = int((sizes == 1).sum()), int((sizes == 2).sum())
    weight = fraction * ones + 2 * (1 - fraction) * twos
    return fraction * ones / weight if weight else None


def compute_match(people: People, rows: "NDArray[np.int64]", level: str) -> tuple[float | None, float | None]:
    """The estimate from the sample that ``rows`` are, and the truth from everybody."""
    import numpy as np

    classes, sizes = classify(LEVELS[level](people))
    in_sample = np.bincount(classes[rows], minlength=len(sizes))
    unique = in_sample == 1
    truth = float(unique.sum() / sizes[unique].sum()) if unique.any() else None
    return estimate_match(in_sample[in_sample > 0], len(rows) / len(people)), truth
