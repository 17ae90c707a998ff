"""The gateway's side of the feed, against a scripted register that may say anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policy_worlds import snapshot
from tenzij.channels.control import Refusal
from tenzij.channels.frames import frame
from tenzij.identity.keys import Keyring, digest_of, key_from_random
from tenzij.identity.refusals import RevokedKey
from tenzij.policy.signature import signature_of
from tenzij.policy.snapshot import Snapshot
from tenzij.policy.snapshot_json import bytes_from_snapshot
from tenzij.register import feed
from tenzij.register.feed import PolicyFeed
from tenzij.register.protocol import (
    Beat,
    FeedMessage,
    Hello,
    KeyEntry,
    KeysChanged,
    VersionChanged,
    VersionEntry,
    encode_feed,
)

SIGNING = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
POLICY_KEY = SIGNING.public_key().public_bytes_raw()
PEPPER = b"p" * 32
KEY = key_from_random(b"s" * 32)


def version(made_ms: int = 1, signing: Ed25519PrivateKey = SIGNING, content: bytes | None = None) -> VersionEntry:
    content = bytes_from_snapshot(snapshot(made_ms=made_ms)) if content is None else content
    return VersionEntry(content, signature_of(content, signing))


def key(*, revoked: bool = False) -> KeyEntry:
    return KeyEntry("k_1", digest_of(KEY, PEPPER), "o_1", ["verkenning"], 10_000, False, revoked)


def hello(entry: VersionEntry | None = None, keys: list[KeyEntry] | None = None, pepper: bytes = PEPPER) -> Hello:
    return Hello(pepper, entry or version(), [key()] if keys is None else keys)


@dataclass
class Gateway:
    """What reached the callbacks, and the connections that were asked for."""

    snapshots: list[Snapshot] = field(default_factory=list)
    rings: list[Keyring] = field(default_factory=list)
    registers: asyncio.Queue[socket.socket] = field(default_factory=asyncio.Queue)
    unreachable: int = 0  # so many attempts fail first
    now_s: float = 100.0
    feed: PolicyFeed = field(init=False)

    def __post_init__(self) -> None:
        self.feed = PolicyFeed(
            self._connect, POLICY_KEY, self.snapshots.append, self.rings.append, clock=lambda: self.now_s
        )

    async def _connect(self) -> socket.socket:
        if self.unreachable:
            self.unreachable -= 1
            raise Refusal("the register is not running")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self.registers.put_nowait(ours)
        return theirs

    async def register(self) -> Register:
        """The scripted register's end of the next connection."""
        async with asyncio.timeout(5):
            return Register(await self.registers.get())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  what is waited for is another's state
                await asyncio.sleep(0.001)

    @property
    def newest(self) -> int:
        return self.snapshots[-1].made_ms

    @property
    def knows_key(self) -> bool:
        try:
            return bool(self.rings) and self.rings[-1].caller(KEY, 0).key == "k_1"
        except RevokedKey:
            return False


@dataclass
class Register:
    sock: socket.socket

    async def say(self, *messages: FeedMessage) -> None:
        await self.say_bytes(b"".join(frame(encode_feed(message)) for message in messages))

    async def say_bytes(self, payload: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, payload)

    async def is_dropped(self) -> None:
        """Waits until the gateway has hung up."""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await asyncio.get_running_loop().sock_recv(self.sock, 1) == b""
        self.sock.close()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(gateway.feed.run())
        yield gateway
        task.cancel()
    while not gateway.registers.empty():
        gateway.registers.get_nowait().close()


@contextlib.contextmanager
def closing(register: Register) -> Iterator[Register]:
    with register.sock:
        yield register


async def test_nothing_is_current_before_the_first_word(gateway: Gateway) -> None:
    with closing(await gateway.register()):
        assert not gateway.feed.is_current(1e9)
        assert gateway.feed.fault is not None


async def test_the_first_word_makes_it_current(gateway: Gateway) -> None:
    with closing(await gateway.register()) as register:
        await register.say(hello())
        await gateway.until(lambda: gateway.feed.is_current(15))
        assert gateway.newest == 1
        assert gateway.knows_key
        assert gateway.feed.fault is None


async def test_changes_are_applied_as_they_come(gateway: Gateway) -> None:
    with closing(await gateway.register()) as register:
        await register.say(
            hello(), VersionChanged(version(2)), KeysChanged([key(revoked=True)]), VersionChanged(version(3))
        )
        await gateway.until(lambda: len(gateway.snapshots) == 3)
        assert [each.made_ms for each in gateway.snapshots] == [1, 2, 3]
        assert not gateway.knows_key


async def test_it_is_current_only_as_long_as_there_are_signs_of_life(gateway: Gateway) -> None:
    with closing(await gateway.register()) as register:
        await register.say(hello())
        await gateway.until(lambda: gateway.feed.is_current(15))
        gateway.now_s += 15
        assert gateway.feed.is_current(15)
        gateway.now_s += 0.1
        assert not gateway.feed.is_current(15)
        await register.say(Beat())
        await gateway.until(lambda: gateway.feed.is_current(15))


TAMPERED = VersionEntry(version(2).content.replace(b"niveau_2", b"niveau_4"), version(2).signature)
INVALID: dict[str, VersionEntry] = {
    "tampered": TAMPERED,
    "signed_by_another": version(2, Ed25519PrivateKey.from_private_bytes(b"o" * 32)),
    "not_signed": VersionEntry(version(2).content, b""),
    "signed_but_empty": version(content=b""),
    "signed_but_not_canonical": version(content=version(2).content + b" "),
    "signed_but_dangling": version(content=version(2).content.replace(b'"modellen":["klein"]', b'"modellen":["weg"]')),
    "signed_but_unknown_field": version(content=version(2).content.replace(b'"regels":', b'"regel":')),
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_version_never_replaces_a_valid_one(gateway: Gateway, name: str) -> None:
    first = await gateway.register()
    await first.say(hello())
    await gateway.until(lambda: gateway.feed.is_current(15))
    gateway.now_s += 10
    await first.say(VersionChanged(INVALID[name]), Beat(), VersionChanged(version(9)))
    await first.is_dropped()
    assert [each.made_ms for each in gateway.snapshots] == [1]
    assert gateway.feed.is_current(10)
    gateway.now_s += 0.1
    assert not gateway.feed.is_current(10), "what is invalid is no sign of life"
    assert gateway.feed.fault


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_first_version_gives_nothing_to_decide_by(gateway: Gateway, name: str) -> None:
    register = await gateway.register()
    await register.say(hello(INVALID[name]))
    await register.is_dropped()
    assert gateway.snapshots == []
    assert not gateway.feed.is_current(1e9)


async def test_a_revocation_does_not_wait_for_a_version_that_is_invalid(gateway: Gateway) -> None:
    first = await gateway.register()
    await first.say(hello())
    await gateway.until(lambda: gateway.knows_key)
    first.sock.close()
    second = await gateway.register()
    await second.say(hello(TAMPERED, [key(revoked=True)]))
    await second.is_dropped()
    assert not gateway.knows_key
    assert gateway.newest == 1


async def test_after_a_break_it_connects_anew_and_keeps_what_it_had(gateway: Gateway) -> None:
    first = await gateway.register()
    await first.say(hello())
    await gateway.until(lambda: gateway.feed.is_current(15))
    gateway.now_s += 3
    first.sock.close()
    with closing(await gateway.register()) as second:
        assert gateway.feed.is_current(3)
        assert not gateway.feed.is_current(2.9)
        await second.say(hello(), Beat())
        await gateway.until(lambda: gateway.feed.is_current(1))
    assert len(gateway.snapshots) == 1, "the same version again is no change"


async def test_a_register_that_cannot_be_reached_is_tried_again() -> None:
    gateway = Gateway(unreachable=3)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(gateway.feed.run())
        with closing(await gateway.register()) as register:
            await register.say(hello())
            await gateway.until(lambda: gateway.feed.is_current(15))
        task.cancel()


async def test_silence_breaks_the_connection(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SILENCE_S", 0.05)
    register = await gateway.register()
    await register.say(hello())
    await register.is_dropped()
    await gateway.until(lambda: "silent" in (gateway.feed.fault or ""))


@pytest.mark.parametrize(
    "payload",
    [
        frame(b""),
        frame(b"\xff" * 10),
        frame(b"\x81" * 5000),
        frame(encode_feed(Beat())),
        frame(encode_feed(VersionChanged(version()))),
        frame(encode_feed(KeysChanged([]))),
        frame(encode_feed(hello(pepper=b"short"))),
        frame(encode_feed(hello())[:-1]),
        frame(encode_feed(hello()) + b"\x00"),
        b"\xff\xff\xff\xff",
        frame(encode_feed(hello())) + frame(encode_feed(hello())),
    ],
    ids=[
        "empty",
        "no_msgpack",
        "deep",
        "begins_with_a_beat",
        "begins_with_a_version",
        "begins_with_keys",
        "short_pepper",
        "cut_off",
        "too_long",
        "huge_frame",
        "hello_twice",
    ],
)
async def test_a_feed_that_is_none_is_dropped_and_tried_anew(gateway: Gateway, payload: bytes) -> None:
    register = await gateway.register()
    await register.say_bytes(payload)
    await register.is_dropped()
    with closing(await gateway.register()) as second:
        await second.say(hello(version(5)))
        await gateway.until(lambda: bool(gateway.snapshots) and gateway.newest == 5)


async def test_half_a_frame_is_no_message(gateway: Gateway) -> None:
    with closing(await gateway.register()) as register:
        payload = frame(encode_feed(hello()))
        await register.say_bytes(payload[:50])
        for _ in range(20):
            await asyncio.sleep(0)
        assert not gateway.feed.is_current(1e9)
        await register.say_bytes(payload[50:])
        await gateway.until(lambda: gateway.feed.is_current(15))
