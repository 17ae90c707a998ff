"""The ledger's hands: channels in, groups onto the device, answers out. What happens is decided by `keeper`.

Rules
- One task owns the log's files and the keeper; it sleeps until something comes in. An idle log costs nothing.
- The device is waited for in a thread of its own, so that channels are read meanwhile and the next group fills.
- A channel's role says which kinds of entry it may write; the role comes from the supervisor and cannot be forged.
- A channel has at most `WINDOW` appends unanswered; beyond that it is not read.
- When the log cannot be written, it is tried again every `BEGIN_AGAIN_S` until it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tenzij.channels.frames import BadFrame, frame, read_frame
from tenzij.ledger.book import Book
from tenzij.ledger.commitments import KEY_BYTES
from tenzij.ledger.entries import BadEntry, EntryTooLarge, entry_from_bytes
from tenzij.ledger.keeper import Greeting, Group, Keeper, Parting, Wish
from tenzij.ledger.key_store import KeyStore
from tenzij.ledger.protocol import (
    MAX_APPEND_BYTES,
    MAX_HELLO_BYTES,
    Append,
    Appended,
    BadMessage,
    Hello,
    NotAppended,
    ToClient,
    bytes_from_message,
    message_at_ledger,
)
from tenzij.ledger.segment import Unfinished
from tenzij.ledger.wal import WriteAheadLog, fault_of

ROLES: Final[Mapping[str, frozenset[str]]] = {"gateway": frozenset({"besluit", "uitkomst"})}
WINDOW: Final = 1024
HELLO_WITHIN_S: Final = 10.0
BEGIN_AGAIN_S: Final = 0.5
KEYS_AGAIN_S: Final = 5.0
MOST_WAITING_KEYS: Final = 50_000

_READ_BYTES: Final = 1024 * 1024
_Result = TypeVar("_Result")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _nothing() -> None:
    """Done once everything before it in its queue is."""


class _Channel:
    """One client's connection."""

    def __init__(self, number: int, kinds: frozenset[str], writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.kinds = kinds
        self.writer = writer
        self.unanswered = 0
        self.has_room = asyncio.Event()
        self.has_room.set()

    def say(self, messages: Iterable[ToClient]) -> None:
        """Sends, and counts what was answered."""
        frames = []
        for message in messages:
            self.unanswered -= isinstance(message, (Appended, NotAppended))
            frames.append(frame(bytes_from_message(message)))
        if self.unanswered < WINDOW:
            self.has_room.set()
        if not self.writer.is_closing():
            self.writer.write(b"".join(frames))


class Server:
    """One log, loaded, and its clients. `run` owns it; `serve` is one client's task."""

    def __init__(self, log: WriteAheadLog, book: Book, keys: KeyStore, begin_again_s: float = BEGIN_AGAIN_S) -> None:
        self._log = log
        self._book = book
        self._keeper = Keeper(book)
        self._keys = keys
        self._waiting_keys: deque[tuple[str, str, bytes]] = deque(maxlen=MOST_WAITING_KEYS)
        self._begin_again_s = begin_again_s
        self._begin_is_due = True
        self._channels: dict[int, _Channel] = {}
        self._numbers = itertools.count(1)
        self._wake = asyncio.Event()
        self._wake.set()
        self._keys_came = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_alone = asyncio.Event()
        self._is_alone.set()
        self._device = ThreadPoolExecutor(1, "ledger-device")
        self._store = ThreadPoolExecutor(1, "ledger-keys")

    async def run(self) -> None:
        """Writes what comes in, until cancelled. Raises LedgerDamaged when acknowledged entries are gone."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._is_idle.clear()
            if self._begin_is_due:
                await self._begin()
            while (group := self._keeper.next_group(_now_ms())) is not None:
                self._answer(group.answers)
                if group.wishes:
                    await self._write(group)
            self._is_idle.set()

    async def run_keys(self) -> None:
        """Brings keys into their store, until cancelled. Nobody waits for it."""
        while True:
            await self._keys_came.wait()
            self._keys_came.clear()
            if not await self._store_keys():
                asyncio.get_running_loop().call_later(KEYS_AGAIN_S, self._keys_came.set)

    async def serve(self, sock: socket.socket, role: str) -> None:
        """Talks with one client until it goes."""
        kinds = ROLES.get(role)
        if kinds is None:
            sock.close()
            return
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_READ_BYTES)
        channel = _Channel(next(self._numbers), kinds, writer)
        self._channels[channel.number] = channel
        self._is_alone.clear()
        try:
            await self._converse(channel, reader)
        except (BadFrame, BadMessage, OSError):
            pass  # gone, or speaking nonsense: over in either case. (TimeoutError is an OSError.)
        finally:
            del self._channels[channel.number]
            writer.close()
            self._put(Parting(channel.number))
            if not self._channels:
                self._is_alone.set()

    async def drain(self, within_s: float) -> None:
        """Waits for the clients to go, then closes what nobody answers for. Gives up quietly when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._is_alone.wait()
                await self._until_idle()
                self._keeper.close_unanswered()
                await self._until_idle()
                await self._store_keys()
                await asyncio.get_running_loop().run_in_executor(self._store, _nothing)  # what is under way as well

    def close(self) -> None:
        """Frees the files, once `run` and `run_keys` have ended."""
        self._device.shutdown()
        self._store.shutdown()
        self._log.close()
        self._keys.close()

    async def _until_idle(self) -> None:
        self._is_idle.clear()
        self._wake.set()
        await self._is_idle.wait()

    async def _converse(self, channel: _Channel, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(HELLO_WITHIN_S):
            data = await read_frame(reader, MAX_HELLO_BYTES)
        if data is None:
            return
        hello = message_at_ledger(data)
        if not isinstance(hello, Hello):
            raise BadMessage("a client begins with a hello")
        self._put(Greeting(channel.number, hello.unfinished))
        while (data := await read_frame(reader, MAX_APPEND_BYTES)) is not None:
            append = message_at_ledger(data)
            if not isinstance(append, Append):
                raise BadMessage("a client greets once")
            self._take(channel, append)
            if channel.unanswered >= WINDOW:
                channel.has_room.clear()
                await channel.has_room.wait()
            await channel.writer.drain()

    def _take(self, channel: _Channel, append: Append) -> None:
        channel.unanswered += 1
        wish = _wish_or_code(channel, append)
        if isinstance(wish, str):
            channel.say([NotAppended(append.number, wish)])
        else:
            self._put(wish)

    def _put(self, item: Wish | Greeting | Parting) -> None:
        self._keeper.put(item)
        self._wake.set()

    def _answer(self, answers: list[tuple[int, ToClient]]) -> None:
        by_channel: dict[int, list[ToClient]] = {}
        for number, message in answers:
            by_channel.setdefault(number, []).append(message)
        for number, messages in by_channel.items():
            if (channel := self._channels.get(number)) is not None:
                channel.say(messages)

    async def _write(self, group: Group) -> None:
        entries = [wish.data for wish in group.wishes]
        try:
            first = await self._on_device(lambda: self._log.append(entries, self._unfinished))
        except OSError as error:
            self._answer(self._keeper.failed(group, fault_of(error)))
            self._begin_later()
            return
        self._answer(self._keeper.written(group, first))
        keys = [(wish.entry.request, wish.entry.kind, wish.key) for wish in group.wishes if wish.key]
        if keys:
            self._waiting_keys.extend(keys)
            self._keys_came.set()

    async def _begin(self) -> None:
        self._begin_is_due = False
        try:
            await self._on_device(lambda: self._log.begin(self._unfinished()))
        except OSError as error:
            self._answer(self._keeper.change_condition(fault_of(error)))
            self._begin_later()
        else:
            self._answer(self._keeper.change_condition(""))

    def _begin_later(self) -> None:
        asyncio.get_running_loop().call_later(self._begin_again_s, self._begin_now)

    def _begin_now(self) -> None:
        self._begin_is_due = True
        self._wake.set()

    async def _store_keys(self) -> bool:
        keys = list(self._waiting_keys)
        self._waiting_keys.clear()
        try:
            if keys:
                await asyncio.get_running_loop().run_in_executor(self._store, self._keys.put, keys)
        except sqlite3.Error:
            self._waiting_keys.extendleft(reversed(keys))
            return False
        return True

    def _unfinished(self) -> list[Unfinished]:
        """Called in the device's thread while the owner waits for it, so the book does not change."""
        return list(self._book.unfinished.values())

    async def _on_device(self, call: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._device, call)


def _wish_or_code(channel: _Channel, append: Append) -> Wish | str:
    """The append, checked and parsed; or the code of why it will never be taken."""
    if append.kind not in channel.kinds:
        return "kind_not_allowed"
    if len(append.key) not in (0, KEY_BYTES):
        return "bad_key"
    try:
        entry = entry_from_bytes(append.entry)
    except EntryTooLarge:
        return "too_large"
    except BadEntry as error:
        return error.fault
    if entry.kind != append.kind:
        return "bad_schema"
    return Wish(channel.number, append.number, entry, append.entry, append.key)
