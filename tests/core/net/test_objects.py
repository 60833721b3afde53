from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ehrcore.drive.net.objects import FileStore


@given(st.text(max_size=200), st.binary(max_size=200))
def test_what_is_put_is_got_and_never_outside(tmp_path_factory, location: str, body: bytes) -> None:
    root = tmp_path_factory.mktemp("store")
    store = FileStore(root / "objects")
    store.put(location, body)
    assert store.get(location) == body
    assert store.path(location).resolve().is_relative_to(root / "objects")
    assert {path for path in root.rglob("*") if path.is_file()} == {store.path(location)}


def test_nothing_is_there_until_it_is_put_and_the_last_one_counts(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    assert store.get("/a") is None
    store.put("/a", b"1")
    store.put("/a", b"2")
    assert store.get("/a") == b"2"
    assert store.path("/a").stat().st_mode & 0o777 == 0o600
