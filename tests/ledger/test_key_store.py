"""The erasable store: kept, and then really gone."""

from __future__ import annotations

import secrets
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.samples import request
from tenzij.ledger.commitments import new_key
from tenzij.ledger.key_store import KeyStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    store = KeyStore(tmp_path / "sleutels.sqlite")
    yield store
    store.close()


def _everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def test_keys_are_kept_by_request_and_kind(store: KeyStore) -> None:
    one, two = new_key(), new_key()
    store.put([(request(1), "besluit", one), (request(1), "uitkomst", two)])
    assert store.get(request(1), "besluit") == one
    assert store.get(request(1), "uitkomst") == two
    assert store.get(request(2), "besluit") is None


def test_the_first_key_stays(store: KeyStore) -> None:
    one, two = new_key(), new_key()
    store.put([(request(1), "besluit", one)])
    store.put([(request(1), "besluit", two)])
    assert store.get(request(1), "besluit") == one


@pytest.mark.parametrize("count", [1, 4_000])
def test_an_erased_key_is_in_no_file_any_more(store: KeyStore, tmp_path: Path, count: int) -> None:
    """Ids are random, so pages split and entries move: what a moved entry leaves behind must go as well."""
    keys = {secrets.token_hex(16): new_key() for _ in range(count)}
    for start in range(0, count, 500):
        some = list(keys.items())[start : start + 500]
        store.put([(name, kind, key) for name, key in some for kind in ("besluit", "uitkomst")])
    gone = list(keys)[:: max(1, count // 20)]
    for name in gone:
        assert keys[name] in _everything(tmp_path)
        assert store.erase(name) == 2
        assert store.get(name, "besluit") is None
        assert keys[name] not in _everything(tmp_path)
        assert bytes.fromhex(name) not in _everything(tmp_path)
    left = _everything(tmp_path)
    assert all((key in left) == (name not in gone) for name, key in keys.items())
    store.put([(secrets.token_hex(16), "besluit", new_key())])
    assert not any(keys[name] in _everything(tmp_path) for name in gone)
    assert store.erase(gone[0]) == 0


def test_it_is_for_its_owner_alone(store: KeyStore, tmp_path: Path) -> None:
    store.put([(request(1), "besluit", new_key())])
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_keys_survive_a_restart(tmp_path: Path) -> None:
    key = new_key()
    first = KeyStore(tmp_path / "sleutels.sqlite")
    first.put([(request(1), "besluit", key)])
    first.close()
    second = KeyStore(tmp_path / "sleutels.sqlite")
    assert second.get(request(1), "besluit") == key
    second.close()
    assert [file.name for file in tmp_path.iterdir()] == ["sleutels.sqlite"]


def test_a_file_that_is_no_store_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sleutels.sqlite").write_bytes(b"x" * 5000)
    store = KeyStore(tmp_path / "sleutels.sqlite")
    with pytest.raises(sqlite3.Error):
        store.put([(request(1), "besluit", new_key())])
