"""The kinds of record are the paper's (section 3), and what the chain keeps of one agrees with them."""

from ehrcore.block import RecordRef
from ehrcore.codec import decode, encode
from ehrcore.records import FHIR_KINDS, RecordKind


def test_every_kind_fits_the_chains_range() -> None:
    for kind in RecordKind:
        reference = RecordRef(int(kind), bytes(32), bytes(32), "/r", 0)
        assert decode(encode(reference), RecordRef) == reference


def test_kinds_are_numbered_from_one_without_gaps() -> None:
    assert sorted(RecordKind) == list(range(1, len(RecordKind) + 1))


def test_fhir_yields_every_kind_but_sensors_births_and_deaths() -> None:
    """A sensor's stream is none of FHIR's resources here; births and deaths come from `Patient`."""
    assert set(RecordKind) - set(FHIR_KINDS.values()) == {RecordKind.SENSOR, RecordKind.BIRTH, RecordKind.DEATH}
