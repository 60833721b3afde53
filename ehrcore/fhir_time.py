"""FHIR R4's instants and dateTimes (section 2.24.0.1) and nanoseconds since 1970 in UTC, exact to the nanosecond.

A dateTime may be partial: it then means all of its year, month or day.  The core has no clock and no `datetime`, whose
resolution is a microsecond; the calendar is Gregorian throughout, as FHIR's is.
"""

import re
from typing import Final

from ehrcore.errors import RecordError
from ehrcore.identity import FOREVER
from ehrcore.types import SECOND

_DAY_S: Final = 86_400
#: Days from 1 March of year 0 to 1 January 1970.
_EPOCH_DAYS: Final = 719_468
_ZONE: Final = r"Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00"
_CLOCK: Final = rf"([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{{1,9}}))?({_ZONE})"
_FORM: Final = re.compile(rf"(?!0000)(\d{{4}})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01])(?:T{_CLOCK})?)?)?", re.ASCII)


def count_days(year: int, month: int, day: int) -> int:
    """Days from 1 January 1970; years begin in March, so that a leap day ends one (H. Hinnant, date algorithms)."""
    year, month = year - (month < 3), (month + 9) % 12  # noqa: PLR2004 - March
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - _EPOCH_DAYS


def find_date(days: int) -> tuple[int, int, int]:
    """Year, month and day, the inverse of `count_days`."""
    era, day = divmod(days + _EPOCH_DAYS, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    return 400 * era + year + (month > 9), (month + 2) % 12 + 1, day - (153 * month + 2) // 5 + 1  # noqa: PLR2004 - after December


def format_instant(at_ns: int) -> str:
    """An instant to the second, or to the nanosecond if it is not a whole second; ``at_ns >= 0``."""
    seconds, fraction = divmod(at_ns, SECOND)
    days, rest = divmod(seconds, _DAY_S)
    year, month, day = find_date(days)
    clock = f"{rest // 3_600:02}:{rest // 60 % 60:02}:{rest % 60:02}" + (f".{fraction:09}" if fraction else "")
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"


def format_end(until_ns: int) -> str:
    """The last nanosecond before ``until_ns > 0``, to the nanosecond: FHIR's periods include their end."""
    text = format_instant(until_ns - 1)
    return text if "." in text else text.replace("Z", ".000000000Z")


def parse_span(text: str) -> tuple[int, int]:
    """From when until before when a dateTime is (ns, half open, within 1970 and 2262); `RecordError` for no dateTime.

    A leap second is the first second of the next minute.
    """
    found = _FORM.fullmatch(text)
    year, month, day = (int(found[part] or 1) for part in (1, 2, 3)) if found else (0, 0, 0)
    days = count_days(year, month, day)
    if found is None or find_date(days) != (year, month, day):
        raise RecordError(f"expected a dateTime with at most nine decimals, found {text[:40]!r}")
    start, decimals = days * _DAY_S * SECOND, found[7] or ""
    if found[8]:
        zone = 0 if found[8] == "Z" else int(found[8][0] + "1") * (int(found[8][1:3]) * 60 + int(found[8][4:]))
        minutes = int(found[4]) * 60 + int(found[5]) - zone
        start += (minutes * 60 + int(found[6])) * SECOND + int(decimals.ljust(9, "0"))
        end = start + 10 ** (9 - len(decimals))
    else:
        after = (year, month, day + 1) if found[3] else (year + month // 12, month % 12 + 1, 1)
        end = count_days(*(after if found[2] else (year + 1, 1, 1))) * _DAY_S * SECOND
    return min(max(start, 0), FOREVER), min(max(end, 0), FOREVER)
