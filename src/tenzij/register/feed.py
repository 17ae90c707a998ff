"""The gateway's side of the register's feed: keeps the policy version and the keyring current, and says if they are.

Rules
- A policy version counts only if its signature is that of the policy key (which the supervisor told at the start, not
  the feed), and its bytes are canonical and agree with themselves. An invalid one never replaces a valid one.
- What is invalid is no sign of life: the feed is dropped and tried anew. If it stays so, `is_current` turns false and
  the gateway refuses everything, rather than decide for long by a version that was meant to be replaced.
- Keys are believed because of the channel: the supervisor handed it. They are applied before the version that comes
  with them, so that a revocation never waits for anything.
- The callbacks run in the event loop, each with an immutable value; what they raise ends `run`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from tenzij.channels.control import Refusal
from tenzij.channels.frames import BadFrame, read_frame
from tenzij.errors import PolicyUnavailable
from tenzij.identity.keys import Keyring
from tenzij.policy.signature import BadSignature, verify_signature
from tenzij.policy.snapshot import Snapshot
from tenzij.policy.snapshot_json import BadSnapshot, snapshot_from_bytes
from tenzij.register.protocol import (
    BEAT_S,
    MAX_FEED_BYTES,
    UNREADABLE,
    FeedMessage,
    Hello,
    KeyEntry,
    KeysChanged,
    VersionChanged,
    VersionEntry,
    feed_decoder,
    record_from_entry,
)

SILENCE_S = 5 * BEAT_S
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


class BadFeed(PolicyUnavailable):
    """The register said something that it should not have."""


class PolicyFeed:
    """One for the life of the gateway; `run` is its only task."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[socket.socket]],
        policy_key: bytes,
        on_snapshot: Callable[[Snapshot], None],
        on_keyring: Callable[[Keyring], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._policy_key = policy_key
        self._on_snapshot = on_snapshot
        self._on_keyring = on_keyring
        self._clock = clock
        self._pepper: bytes | None = None
        self._newest: VersionEntry | None = None  # the last one that was found valid
        self._has_keyring = False
        self._last_sign_s: float | None = None
        self._fault = "The register has not been reached yet."

    @property
    def fault(self) -> str | None:
        """Why the feed is down, for a person; None while it is up."""
        return self._fault or None

    def is_current(self, within_s: float) -> bool:
        """Whether there are a policy version and a keyring, and a sign of life not longer than `within_s` ago."""
        if self._newest is None or not self._has_keyring or self._last_sign_s is None:
            return False
        return self._clock() - self._last_sign_s <= within_s

    async def run(self) -> NoReturn:
        """Follows the feed, connecting anew whenever it breaks. Ends only by cancelling."""
        pause_s = FIRST_PAUSE_S
        while True:
            before = self._last_sign_s
            try:
                await self._follow(await self._connect())
                self._fault = "The register ended the feed."
            except (BadFeed, BadSignature, BadSnapshot) as error:
                self._fault = error.message
            except TimeoutError:  # before OSError, of which it is one
                self._fault = f"The register was silent for {SILENCE_S:g} seconds."
            except (OSError, Refusal, BadFrame) as error:
                self._fault = f"The register cannot be reached ({type(error).__name__})."
            pause_s = FIRST_PAUSE_S if self._last_sign_s != before else min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _follow(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        try:
            is_first = True
            while (message := await self._read(reader)) is not None:
                if isinstance(message, Hello) is not is_first:
                    raise BadFeed("The register's feed does not begin, or begins again, as it should.")
                self._apply(message)
                self._last_sign_s = self._clock()
                self._fault = ""
                is_first = False
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> FeedMessage | None:
        async with asyncio.timeout(SILENCE_S):
            payload = await read_frame(reader, MAX_FEED_BYTES)
        if payload is None:
            return None
        try:
            return feed_decoder.decode(payload)
        except UNREADABLE:
            raise BadFeed("The register's feed cannot be read.") from None

    def _apply(self, message: FeedMessage) -> None:
        if isinstance(message, Hello):
            self._pepper = message.pepper
            self._apply_keys(message.keys)
            self._apply_version(message.version)
        elif isinstance(message, KeysChanged):
            self._apply_keys(message.keys)
        elif isinstance(message, VersionChanged):
            self._apply_version(message.version)

    def _apply_keys(self, entries: list[KeyEntry]) -> None:
        try:
            keyring = Keyring(self._pepper or b"", map(record_from_entry, entries))
        except ValueError:
            raise BadFeed("The register's feed has no usable pepper.") from None
        self._has_keyring = True
        self._on_keyring(keyring)

    def _apply_version(self, entry: VersionEntry) -> None:
        verify_signature(entry.content, entry.signature, self._policy_key)
        if entry == self._newest:  # after connecting anew: what is in force stays
            return
        snapshot = snapshot_from_bytes(entry.content)
        self._newest = entry
        self._on_snapshot(snapshot)
