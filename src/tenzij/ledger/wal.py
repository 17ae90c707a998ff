"""The write-ahead log: what `append` returned for is on the device, whatever happens next.

Rules
- `load`, then `begin`; from then on `append`. After any OSError nothing is written until `begin` has succeeded again:
  starting and mending are the same steps.
- After a failed write or sync nothing is assumed about what the device holds beyond the last good sync: that part is
  cut off, and its callers are refused.
- After a failed sync a later one may succeed without having written anything, because the kernel takes the pages for
  clean. So `begin` reads again what counts, writes its last group anew before it syncs, and goes on in a new segment.
  (All earlier groups were synced before the last was written.) The same holds for what a killed process left: it may
  never have been synced, and counts only once `begin` has succeeded.
- One owner, one thread at a time. Nothing here waits for anything but the device.

The unfinished decisions that a segment's header carries come from the caller: this file does not know what entries are.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tenzij.errors import OperatorError
from tenzij.ledger.files import Files
from tenzij.ledger.segment import (
    Header,
    Identity,
    LedgerDamaged,
    Unfinished,
    bytes_from_group,
    bytes_from_header,
    entries_of,
    name_from_number,
    number_from_name,
    scan,
)

SEGMENT_BYTES: Final = 64 * 1024 * 1024
_NEW: Final = "wal-new"  # a segment that is being made; without meaning until it is renamed


class LedgerOfAnother(OperatorError):
    """The folder holds the log of another organisation or node."""

    code = "ledger_of_another"


class Memory(Protocol):
    """Who is told, at the start, what the log holds."""

    def restore(self, unfinished: Sequence[Unfinished]) -> None:
        """The decisions that were unfinished where reading begins."""
        ...

    def replay(self, index: int, entry: bytes) -> None:
        """The next entry."""
        ...


@dataclass(frozen=True, slots=True)
class _End:
    """The last segment and how far it is acknowledged."""

    number: int
    header_bytes: int
    good_bytes: int
    next_index: int

    @property
    def entries_bytes(self) -> int:
        """Without the header, which may be large."""
        return self.good_bytes - self.header_bytes


class WriteAheadLog:
    """One folder's log. `next_index` entries are acknowledged."""

    def __init__(self, files: Files, identity: Identity, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._files = files
        self._identity = identity
        self._segment_bytes = segment_bytes
        self._end: _End | None = None
        self._handle: int | None = None
        self.torn_bytes = 0  # at the end of what was loaded: written, never acknowledged

    @property
    def next_index(self) -> int:
        """The index that the next entry gets."""
        return self._end.next_index if self._end else 0

    def load(self, memory: Memory) -> None:
        """Reads the end of the log: the last segment, and before it at least a segment's worth of entries.

        Raises OSError (it may be called again), LedgerDamaged, LedgerOfAnother. Writes nothing.
        """
        self._end = None
        numbers = self._numbers_to_read()
        for position, number in enumerate(numbers):
            data = self._files.read(name_from_number(number))
            scanned = scan(data)
            self._verify_place(scanned.header, number)
            self.torn_bytes = len(data) - scanned.good_bytes
            if self.torn_bytes and number != numbers[-1]:
                raise LedgerDamaged(f"The log is damaged at the end of segment {number}: later segments follow.")
            if position == 0:
                memory.restore(scanned.header.unfinished)
            for index, entry in entries_of(data, scanned):
                memory.replay(index, entry)
            self._end = _End(number, scanned.header_bytes, scanned.good_bytes, scanned.next_index)

    def begin(self, unfinished: Sequence[Unfinished]) -> None:
        """Makes sure of what counts, cuts off what does not, and begins a segment.

        `unfinished` are the decisions that are. Raises OSError: it may be called again; LedgerDamaged when what counted
        is not there any more.
        """
        self._let_go()
        if self._end is not None:
            self._settle(self._end)
        self._begin_segment(unfinished)

    def append(self, entries: Sequence[bytes], unfinished: Callable[[], Sequence[Unfinished]]) -> int:
        """Makes `entries` durable, all or none, and returns the index of the first.

        `unfinished` is asked when a new segment begins: the decisions unfinished before these entries.
        Raises OSError: none of them counts, and `begin` is next.
        """
        if self._handle is not None and self._end is not None and self._end.entries_bytes >= self._segment_bytes:
            self._let_go()
            self._begin_segment(unfinished())
        if self._handle is None or self._end is None:
            raise OSError(errno.EBADF, "the log is not begun")
        end = self._end
        group = bytes_from_group(end.next_index, entries)
        try:
            # Crash here: a torn group at the end, or a whole one that nobody was told of; both are safe at the start.
            self._write(self._handle, end.good_bytes, group)
            self._files.sync(self._handle)
        except OSError:
            self._let_go()
            raise
        self._end = _End(end.number, end.header_bytes, end.good_bytes + len(group), end.next_index + len(entries))
        return end.next_index

    def close(self) -> None:
        """Frees the handle."""
        self._let_go()

    def _numbers_to_read(self) -> list[int]:
        numbers = sorted(number for name in self._files.names() if (number := number_from_name(name)) is not None)
        if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
            raise LedgerDamaged("A segment of the log is missing.")
        wanted, first = self._segment_bytes, len(numbers) - 1
        while first > 0 and wanted > 0:
            first -= 1
            wanted -= self._files.size(name_from_number(numbers[first]))
        return numbers[max(first, 0) :]

    def _verify_place(self, header: Header, number: int) -> None:
        if header.identity != self._identity:
            whose = f"{header.identity.organisation}, {header.identity.node}"
            raise LedgerOfAnother(f"This folder holds the log of {whose}. Set ledger.organisation and ledger.node so.")
        if header.number != number or (self._end is not None and header.first_index != self._end.next_index):
            raise LedgerDamaged(f"Segment {number} of the log does not follow the one before it.")

    def _settle(self, end: _End) -> None:
        name = name_from_number(end.number)
        data = self._files.read(name)[: end.good_bytes]
        scanned = scan(data)
        if scanned.good_bytes != end.good_bytes or scanned.next_index != end.next_index:
            raise LedgerDamaged(f"Segment {end.number} of the log lost entries that were acknowledged.")
        handle = self._files.open(name)
        try:
            # Crash at any of these: the same bytes stand where they stood, and the rest is cut off at the next start.
            self._write(handle, scanned.last_group_at, data[scanned.last_group_at :])
            self._files.truncate(handle, end.good_bytes)
            self._files.sync(handle)
        finally:
            self._files.close(handle)

    def _begin_segment(self, unfinished: Sequence[Unfinished]) -> None:
        number = 1
        if self._end is not None:
            number = self._end.number + (self._end.entries_bytes > 0)  # an empty one is replaced
        header = bytes_from_header(Header(self._identity, number, self.next_index, tuple(unfinished)))
        handle = self._files.create(_NEW)
        try:
            self._write(handle, 0, header)
            self._files.sync(handle)  # crash before: a file without meaning
            # The name may exist, of an empty segment or of one whose making failed at the last step below.
            self._files.rename(_NEW, name_from_number(number))
            self._files.sync_folder()  # crash before: the segment is there or not, and holds nothing
        except OSError:
            self._files.close(handle)
            raise
        self._handle = handle
        self._end = _End(number, len(header), len(header), self.next_index)

    def _write(self, handle: int, offset: int, data: bytes) -> None:
        while data:
            written = self._files.write(handle, offset, data)
            if written == 0:
                raise OSError(errno.ENOSPC, "nothing more could be written")
            offset, data = offset + written, data[written:]

    def _let_go(self) -> None:
        if self._handle is not None:
            self._files.close(self._handle)
            self._handle = None


def fault_of(error: OSError) -> str:
    """A stable code for why nothing can be written: "disk_full" or "io_error"."""
    return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "io_error"
