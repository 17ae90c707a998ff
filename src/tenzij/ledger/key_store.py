"""The erasable store of the commitments' keys (sleutels): once a key is gone, its commitment says nothing.

Rules
- Beside the log, never in it, and never waited for: an entry is acknowledged without its key. What a crash takes is
  lost here, and still with the caller, who was given it.
- `erase` leaves no copy in the store's files: what is deleted, or moves within them, is overwritten with zeros
  (`secure_delete`), and the journal is brought in and cut to nothing. What a disk keeps of blocks that no file has any
  more is the business of its encryption.
- One connection, in one thread at a time. Nothing goes to temporary files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_SETTINGS: Final = (
    "PRAGMA locking_mode = EXCLUSIVE",  # no shared-memory file beside it
    "PRAGMA auto_vacuum = NONE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
)
_TABLE: Final = """CREATE TABLE IF NOT EXISTS sleutels (
    verzoek BLOB NOT NULL, soort TEXT NOT NULL, sleutel BLOB NOT NULL, PRIMARY KEY (verzoek, soort)
) WITHOUT ROWID"""


class KeyStore:
    """Opened at first use. Every method raises sqlite3.Error as it comes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def put(self, keys: Iterable[tuple[str, str, bytes]]) -> None:
        """Keeps (request, kind, key) for each; one that is there already stays as it is."""
        rows = [(bytes.fromhex(request), kind, key) for request, kind, key in keys]
        with self._opened() as connection:
            connection.executemany("INSERT OR IGNORE INTO sleutels VALUES (?, ?, ?)", rows)

    def get(self, request: str, kind: str) -> bytes | None:
        """The key of one entry's commitment; None when it was erased or never came."""
        query = "SELECT sleutel FROM sleutels WHERE verzoek = ? AND soort = ?"
        row = self._opened().execute(query, (bytes.fromhex(request), kind)).fetchone()
        return None if row is None else bytes(row[0])

    def erase(self, request: str) -> int:
        """Destroys the request's keys; how many there were."""
        connection = self._opened()
        with connection:
            erased = connection.execute("DELETE FROM sleutels WHERE verzoek = ?", (bytes.fromhex(request),)).rowcount
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the journal could not be emptied")
        return erased

    def close(self) -> None:
        """Brings everything into the one file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._file.touch(mode=0o600)
            connection = sqlite3.connect(self._file, check_same_thread=False)
            try:
                for setting in _SETTINGS:
                    connection.execute(setting)
                connection.execute(_TABLE)
                connection.commit()
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection
