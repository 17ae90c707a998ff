"""A file system in memory that fails, stops or loses power at the call that a test chooses.

What it models
- Writes and cuts reach the device when `sync` returns; names when `sync_folder` returns. Until then each may be there
  after a loss of power, or not, writes also in part (pieces of 512 bytes, each by itself).
- After a failed `sync` the kernel takes the pages for clean: no later sync brings them to the device ("fsyncgate").
  Reading again gives either what was written or what the device has.
- A process that is killed loses nothing that it wrote.
"""

from __future__ import annotations

import errno
import random  # noqa: TID251 - seeded
from collections.abc import Callable
from dataclasses import dataclass, field

PIECE = 512


class Crash(BaseException):
    """The process is killed here."""


@dataclass(slots=True)
class _Change:
    """A write at an offset, or (data is None) a cut to a size."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(slots=True, eq=False)
class _Inode:
    seen: bytearray = field(default_factory=bytearray)  # what reading gives
    device: bytearray = field(default_factory=bytearray)
    changes: list[_Change] = field(default_factory=list)  # not on the device yet

    def change(self, change: _Change) -> None:
        change.apply(self.seen)
        self.changes.append(change)

    def sync(self) -> None:
        for change in self.changes:
            change.apply(self.device)
        self.changes.clear()

    def lose_power(self, dice: random.Random) -> None:
        for change in self.changes:
            if change.data is None:
                if dice.random() < 0.5:
                    change.apply(self.device)
                continue
            survives = dice.choice((0.0, 0.5, 1.0))
            for start in range(0, len(change.data), PIECE):
                if dice.random() < survives:
                    _Change(change.offset + start, change.data[start : start + PIECE]).apply(self.device)
        self.changes.clear()
        self.seen = bytearray(self.device)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the call with this number, counted from 0.

    `how`: "error" (nothing done), "partly" (a write stops half way, then an error), "short" (a write writes half and
    says so), "crash_before", "crash_after", "crash_partly".
    """

    at: int
    how: str
    error: int = errno.EIO


class FaultyFiles:
    """Implements `tenzij.ledger.files.Files`."""

    def __init__(self) -> None:
        self._names: dict[str, _Inode] = {}
        self._device_names: dict[str, _Inode] = {}
        self._name_changes: list[Callable[[dict[str, _Inode]], None]] = []
        self._handles: dict[int, _Inode] = {}
        self._next_handle = 3
        self.calls: list[str] = []
        self.fault: Fault | None = None
        self.room: int | None = None  # bytes until the disk is full
        self.is_device_read = False  # after a failed sync: whether reading gives what the device has

    # -- what tests do

    def kill(self) -> None:
        """The process is gone: its handles close."""
        self._handles.clear()
        self.fault = None

    def lose_power(self, seed: int) -> None:
        """The machine is gone; what was not synced is there, not, or in part."""
        dice = random.Random(seed)  # noqa: S311
        self.kill()
        kept = dice.randrange(len(self._name_changes) + 1)
        for change in self._name_changes[:kept]:
            change(self._device_names)
        self._name_changes.clear()
        self._names = dict(self._device_names)
        for inode in {id(inode): inode for inode in self._names.values()}.values():
            inode.lose_power(dice)

    def content(self, name: str) -> bytes:
        """What a reader would see."""
        return bytes(self._names[name].seen)

    def overwrite(self, name: str, content: bytes) -> None:
        """Somebody changes a file behind our back."""
        self._names[name].seen = bytearray(content)
        self._names[name].device = bytearray(content)

    def remove(self, name: str) -> None:
        """Somebody removes a file behind our back."""
        del self._names[name]

    @property
    def open_handles(self) -> int:
        """How many were not closed."""
        return len(self._handles)

    # -- what the log does

    def names(self) -> list[str]:
        self._call("names")
        return list(self._names)

    def size(self, name: str) -> int:
        self._call("size")
        return len(self._inode(name).seen)

    def read(self, name: str) -> bytes:
        self._call("read")
        return bytes(self._inode(name).seen)

    def create(self, name: str) -> int:
        how = self._call("create")
        if self.room is not None and self.room <= 0:
            raise OSError(errno.ENOSPC, "full")
        inode = _Inode()
        self._names[name] = inode
        self._name_changes.append(lambda names: names.__setitem__(name, inode))
        self._after(how)
        return self._handle(inode)

    def open(self, name: str) -> int:
        self._call("open")
        return self._handle(self._inode(name))

    def write(self, handle: int, offset: int, data: bytes) -> int:
        how = self._call("write")
        if how in ("partly", "short", "crash_partly"):
            data = data[: len(data) // 2]
        if self.room is not None:
            size = len(self._handles[handle].seen)
            data = data[: max(0, size - offset) + self.room]  # what is there already takes no more room
            if not data:
                raise OSError(errno.ENOSPC, "full")
            self.room -= max(0, offset + len(data) - size)
        self._handles[handle].change(_Change(offset, data))
        self._after(how)
        return len(data)

    def truncate(self, handle: int, size: int) -> None:
        how = self._call("truncate")
        inode = self._handles[handle]
        if self.room is not None:
            self.room += max(0, len(inode.seen) - size)
        inode.change(_Change(size, None))
        self._after(how)

    def sync(self, handle: int) -> None:
        inode = self._handles[handle]
        try:
            how = self._call("sync")
        except OSError:
            inode.changes.clear()
            if self.is_device_read:
                inode.seen = bytearray(inode.device)
            raise
        inode.sync()
        self._after(how)

    def close(self, handle: int) -> None:
        self._handles.pop(handle, None)

    def rename(self, old: str, new: str) -> None:
        how = self._call("rename")
        inode = self._names.pop(old)
        self._names[new] = inode

        def change(names: dict[str, _Inode]) -> None:
            if names.pop(old, None) is not None or new in names:
                names[new] = inode

        self._name_changes.append(change)
        self._after(how)

    def sync_folder(self) -> None:
        how = self._call("sync_folder")
        for change in self._name_changes:
            change(self._device_names)
        self._name_changes.clear()
        self._after(how)

    def _inode(self, name: str) -> _Inode:
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        return self._names[name]

    def _handle(self, inode: _Inode) -> int:
        self._next_handle += 1
        self._handles[self._next_handle] = inode
        return self._next_handle

    def _call(self, name: str) -> str:
        number = len(self.calls)
        self.calls.append(name)
        if self.fault is None or self.fault.at != number:
            return ""
        how = self.fault.how
        if how in ("partly", "short", "crash_partly") and name != "write":
            how = {"partly": "error", "short": "", "crash_partly": "crash_before"}[how]
        if how == "error":
            raise OSError(self.fault.error, "injected")
        if how == "crash_before":
            raise Crash
        return how

    def _after(self, how: str) -> None:
        if how == "partly" and self.fault is not None:
            raise OSError(self.fault.error, "injected")
        if how.startswith("crash"):
            raise Crash
