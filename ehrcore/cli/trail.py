"""The audit trail as lines: who did what to whose record, when, why, with what outcome, and the id that proves it."""

from collections.abc import Mapping
from typing import Final

from ehrcore.auditing import AuditEvent, Deed, Trail
from ehrcore.cli.format import align, show_time
from ehrcore.fhir_terms import KIND_CODES

HEADINGS: Final = ("TIME", "WHO", "DEED", "KIND", "BLOCK", "OUTCOME", "TRANSACTION", "REMARKS")
#: Digits of an id that tell which line above is meant.
SHORT: Final = 12


def show_trail(trail: Trail, names: Mapping[str, str]) -> list[str]:
    """A line of headings and one per event; ``names`` are aliases by subject, as far as they are known here."""
    return align([HEADINGS, *(_row(trail, event, names) for event in trail.events)], left=len(HEADINGS))


def summarise(trail: Trail) -> str:
    """How many events of which kind there are."""
    events = trail.events
    counts = {
        "writes": sum(event.deed is Deed.WRITE for event in events),
        "reads and searches": sum(event.deed in {Deed.READ, Deed.SEARCH} for event in events),
        "denied": sum(bool(event.reason) for event in events),
        "by breaking the glass": sum(event.is_break_glass for event in events),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _row(trail: Trail, event: AuditEvent, names: Mapping[str, str]) -> tuple[str, ...]:
    written = trail.write_of(event)
    kind = KIND_CODES.get(event.kind or (written.kind if written else 0), "")
    alias = names.get(event.author)
    remarks = (
        _about(event, written),
        f"for {event.purpose.value}" if event.purpose else "",
        f"BREAK-GLASS ({event.emergency.value})" if event.is_break_glass else "",
        "DENIED" if event.reason else "",
        "NOT THIS PATIENT'S RECORD" if trail.is_misnamed(event) else "",
    )
    return (
        show_time(event.at),
        f"{event.author} ({alias})" if alias else event.author,
        event.deed.value,
        kind,
        str(event.height),
        event.reason.value or "valid",
        event.tx_id.hex(),
        "  ".join(filter(None, remarks)),
    )


def _about(event: AuditEvent, written: AuditEvent | None) -> str:
    """Which transaction above an event is about; of a record that is not on the chain, the digest that it names."""
    if written is not None and written.tx_id != event.tx_id:
        return f"of {written.tx_id.hex()[:SHORT]}"
    if event.deed in {Deed.WITHDRAWAL, Deed.AGREEMENT, Deed.TERMINATION}:
        return f"of {event.record.hex()[:SHORT]}"
    if event.deed in {Deed.READ, Deed.ERASURE} and written is None:
        return f"of an unknown record ({event.record.hex()[:SHORT]})"
    return ""
