"""People who do not exist, by the hundred thousand: enough of them for uniqueness to mean something.

The workload's generator takes seconds for one patient, so it makes a handful, of whom nearly everybody is unique
whatever is known.  These have just what re-identification goes by: birth date, sex, postal code and a group of
diagnoses; and, for the chain, visits.  Shapes are plain assumptions, stated here: ages flat to 60 and falling to none
at 100, sexes alike, postal codes and hospitals of Zipf sizes, diagnoses too.  Nothing but sums, products and
comparisons enters, so a seed gives the same people on every machine.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DAYS_PER_YEAR: Final = 365
#: About 10,000 people a postal code, as in the United States (33,000 codes, 330 million people: Census, 2020).
PEOPLE_PER_CODE: Final = 10_000
CODES_PER_REGION: Final = 5
DIAGNOSES: Final = 20
HOSPITALS: Final = 12
#: Visits of a year: 6 on average, as in the OECD (Health at a Glance 2023, consultations per person), geometric.
_MEAN_VISITS: Final = 6
_MOST_VISITS: Final = 60
_OWN_HOSPITAL: Final = 0.8
_OPEN_S: Final = (8 * 3_600, 18 * 3_600)


@dataclass(frozen=True, slots=True)
class People:
    """Columns of equal length, whole numbers: age in days, sex, postal code, diagnosis."""

    age_days: "NDArray[np.int64]"
    sex: "NDArray[np.int64]"
    code: "NDArray[np.int64]"
    diagnosis: "NDArray[np.int64]"

    def __len__(self) -> int:
        return len(self.sex)

    def take(self, rows: "NDArray[np.int64]") -> "People":
        """Some of them."""
        return People(self.age_days[rows], self.sex[rows], self.code[rows], self.diagnosis[rows])


@dataclass(frozen=True, slots=True)
class Visits:
    """Columns of equal length: whose visit, at which hospital, for which kind of record, when (s of the year)."""

    patient: "NDArray[np.int64]"
    hospital: "NDArray[np.int64]"
    kind: "NDArray[np.int64]"
    at_s: "NDArray[np.int64]"


def open_source(label: str) -> "np.random.Generator":
    """Chance for one purpose, from its label."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(label.encode()).digest()[:8])))


def _draw(source: "np.random.Generator", weights: Any, count: int) -> "NDArray[np.int64]":
    import numpy as np

    edges = np.cumsum(np.asarray(weights, dtype=float))
    found: NDArray[np.int64] = np.searchsorted(edges, source.random(count) * edges[-1], side="right").astype(np.int64)
    return found


def _zipf(count: int) -> list[float]:
    return [1 / rank for rank in range(1, count + 1)]


def make_people(count: int, seed: str) -> People:
    """``count >= 1`` people."""
    source = open_source(f"{seed}|people")
    codes = max(round(count / PEOPLE_PER_CODE), 1)
    years = _draw(source, [1.0] * 60 + [1 - step / 40 for step in range(40)], count)
    days = source.integers(0, DAYS_PER_YEAR, count)
    return People(
        years * DAYS_PER_YEAR + days,
        source.integers(0, 2, count),
        # Offset ranks: the largest code is not half of everybody.
        _draw(source, [1 / (rank + 3) for rank in range(codes)], count),
        _draw(source, _zipf(DIAGNOSES), count),
    )


def make_visits(count: int, kinds: "dict[int, int]", seed: str) -> Visits:
    """A year's visits of ``count`` people, in order of time; kinds of record as frequent as in ``kinds``."""
    import numpy as np

    source = open_source(f"{seed}|visits")
    share, weights = 1 - 1 / _MEAN_VISITS, [1.0]
    while len(weights) < _MOST_VISITS:
        weights.append(weights[-1] * share)
    numbers = _draw(source, weights, count) + 1
    patient = np.repeat(np.arange(count), numbers)
    total = len(patient)
    sizes = _zipf(HOSPITALS)
    home, away = _draw(source, sizes, count), _draw(source, sizes, total)
    hospital = np.where(source.random(total) < _OWN_HOSPITAL, home[patient], away)
    names = np.array(sorted(kinds))
    kind = names[_draw(source, [kinds[int(name)] for name in names], total)]
    at_s = source.integers(0, DAYS_PER_YEAR, total) * 86_400 + source.integers(*_OPEN_S, total)
    order = np.argsort(at_s, kind="stable")
    return Visits(patient[order], hospital[order], kind[order], at_s[order])
