"""The HTTP edge over TCP, on the loop that runs in production: limits, hang-ups, and requests made to confuse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import select
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.harness import ANSWER, Wait, World, chat, eventually, soon
from gateway.served import answers, connected, parsed_head, request, served
from tenzij.engines.protocol import Text
from tenzij.gateway.asgi import Receive, Scope, Send
from tenzij.gateway.edge import connections_within


async def test_an_answer_has_no_header_that_says_who_serves_or_when() -> None:
    async with served(World()) as address, connected(address) as peer:
        peer.writer.write(request())
        status, headers, body = await peer.response()
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hallo"
    assert set(headers) == {
        "content-type", "content-length", "cache-control", "x-content-type-options", "tenzij-verzoek", "x-request-id",
        "tenzij-besluit", "tenzij-gewichten", "tenzij-locatie",
    }  # fmt: skip


async def test_a_connection_serves_many_requests() -> None:
    world = World()
    async with served(world) as address, connected(address) as peer:
        for _ in range(3):
            peer.writer.write(request())
            assert (await peer.response())[0] == 200
    assert len(world.log.outcomes) == 3


async def test_head_requests_have_no_body() -> None:
    async with served(World()) as address, connected(address) as peer:
        peer.writer.write(request(path="/health/live", method="HEAD"))
        head = await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.write(request(path="/health/live", method="GET"))
        status, _, _ = await peer.response()
    assert parsed_head(head)[0] == status == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["cut", "close", "half-close"])
async def test_pitfall_1_and_2_a_hang_up_is_seen_at_once(stream: bool, how: str) -> None:
    wait = Wait()
    world = World([*ANSWER[:2], wait, *ANSWER[2:]])
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request(chat(stream=stream)))
        await soon(wait.reached)
        if how == "cut":
            peer.cut()
        elif how == "close":
            peer.writer.close()
        else:
            peer.writer.write_eof()
        await soon(world.engine.freed)
        await eventually(lambda: world.log.outcomes)
    assert world.log.outcome == ("afgebroken", "client_weg")


@pytest.mark.parametrize("size", [0, 70_000, 1_000_000])
async def test_pitfall_1_a_hang_up_is_seen_after_a_body_of_any_size(size: int) -> None:
    wait = Wait()
    world = World([wait])
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request(chat(messages=[{"role": "user", "content": "a" * size}])))
        await soon(wait.reached, 5)
        peer.cut()
        await soon(world.engine.freed)


async def test_pitfall_1_a_hang_up_is_seen_behind_a_second_request() -> None:
    """With uvicorn's own protocol the pipelined request stops the reading, and the engine runs on."""
    wait = Wait()
    world = World([wait])
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request() + request())
        await soon(wait.reached)
        peer.cut()
        await soon(world.engine.freed)
        await eventually(lambda: world.log.outcomes)
    assert world.log.outcome == ("afgebroken", "client_weg")


@pytest.mark.parametrize("together", [False, True])
async def test_a_pipelined_request_is_not_served(together: bool) -> None:
    wait = Wait()
    world = World([wait, *ANSWER])
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request() + (request() if together else b""))
        await soon(wait.reached)
        if not together:
            peer.writer.write(request())
            await peer.writer.drain()
            await asyncio.sleep(0.02)
        wait.go.set()
        received = await peer.rest()
    assert answers(received) == 1
    assert received.startswith(b"HTTP/1.1 200 ")
    assert len(world.log.decisions) == 1


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"kanarie\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_one_fixed_answer(junk: bytes) -> None:
    async with served(World()) as address, connected(address) as peer:
        peer.writer.write(junk)
        received = await peer.rest()
    head, _, body = received.partition(b"\r\n\r\n")
    assert parsed_head(head)[0] == 400
    assert json.loads(body)["error"]["code"] == "invalid_http"
    assert b"kanarie" not in received


@pytest.mark.parametrize("stream", [False, True])
async def test_junk_behind_a_request_never_gets_into_its_answer(stream: bool) -> None:
    wait = Wait()
    world = World([Text("Hal"), wait, *ANSWER[2:]])
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request(chat(stream=stream)))
        await soon(wait.reached)
        peer.writer.write(b"\x00\x01 junk\r\n\r\n")
        await asyncio.sleep(0.02)
        wait.go.set()
        received = await peer.rest()
    assert answers(received) == 1
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"invalid_http" not in received


SMUGGLING = {
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n",
    "a list of lengths": "Content-Length: 5, 6\r\n",
    "a signed length": "Content-Length: +5\r\n",
    "a negative length": "Content-Length: -1\r\n",
    "a hexadecimal length": "Content-Length: 0x5\r\n",
    "an endless length": "Content-Length: 99999999999999999999999\r\n",
    "chunks twice": "Transfer-Encoding: chunked, chunked\r\n",
    "chunks not last": "Transfer-Encoding: chunked, gzip\r\n",
    "unknown coding": "Transfer-Encoding: xchunked\r\n",
    "space before the colon": "Transfer-Encoding : chunked\r\n",
    "folded line": "Transfer-Encoding:\r\n chunked\r\n",
    "no name": ": chunked\r\n",
    "a bare return": "X: a\rTransfer-Encoding: chunked\r\n",
    "a zero byte": "X: a\x00b\r\n",
}


@pytest.mark.parametrize("shape", SMUGGLING)
async def test_smuggling_shapes_give_one_answer_and_the_end(shape: str) -> None:
    world = World()
    hidden = request(path="/health/live", method="GET")
    async with served(world, leftover_timeout_s=0.2) as address, connected(address) as peer:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n{SMUGGLING[shape]}\r\n"
        peer.writer.write(head.encode("latin-1") + b"0\r\n\r\n" + hidden)
        received = await peer.rest()
    assert answers(received) == 1
    assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))
    assert b'"live"' not in received
    assert not world.log.decisions


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_a_chunked_body(size: int) -> None:
    world = World()
    body = json.dumps(chat()).encode()
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    head = request(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(head)
        for part in parts:
            peer.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await peer.writer.drain()
        peer.writer.write(b"0\r\n\r\n")
        assert (await peer.response())[0] == 200


async def test_a_chunk_that_is_none_is_refused() -> None:
    world = World()
    head = request(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(head + b"5\r\nabcde\r\nzz\r\n")
        received = await peer.rest()
    assert answers(received) == 1
    assert b"invalid_http" in received
    assert not world.log.decisions


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Y: a\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 40_000 + b": b\r\n\r\n",
    ],
    ids=["path", "value", "fields", "name"],
)
async def test_pitfall_27_a_head_has_a_largest_size(head: bytes) -> None:
    async with served(World()) as address, connected(address) as peer:
        peer.writer.write(head)
        received = await peer.rest()
    assert received.startswith(b"HTTP/1.1 431 ")
    assert b"head_too_large" in received


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTT", b"\r\n\r\n", b"GET / HTTP/1.1\r\nX: "])
async def test_half_open_connections_are_closed(sent: bytes) -> None:
    async with served(World(), head_timeout_s=0.05) as address, connected(address) as peer:
        peer.writer.write(sent)
        assert await peer.rest(2) == b""


async def test_blank_lines_do_not_keep_a_connection() -> None:
    async with served(World(), idle_timeout_s=0.1) as address, connected(address) as peer:
        peer.writer.write(request(path="/health/live", method="GET"))
        await peer.response()
        ended = asyncio.get_running_loop().create_task(peer.rest(3))
        while not ended.done() and not peer.writer.is_closing():
            peer.writer.write(b"\r\n")
            await asyncio.sleep(0.02)
        assert await ended == b""


async def test_a_body_that_drips_is_given_up() -> None:
    async with served(World(body_timeout_s=0.1), leftover_timeout_s=0.1) as address, connected(address) as peer:
        peer.writer.write(request(body=b" " * 100)[:-50])
        received = await peer.rest(3)
    assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("key", [None, "tenzij_wrong"])
async def test_pitfall_27_an_early_answer_is_read_by_a_client_that_sends_first(key: str | None) -> None:
    async with served(World()) as address, connected(address) as peer:
        peer.writer.write(request(body=b"a" * 8_000_000, key=key))
        await peer.writer.drain()
        assert (await peer.response())[0] == 401
        peer.writer.write(request())
        assert (await peer.response())[0] == 200, "the rest of the body was taken for what it is"


async def test_pitfall_27_a_body_too_large_gets_a_clear_413() -> None:
    async with served(World(max_body_bytes=5000)) as address, connected(address) as peer:
        peer.writer.write(request(body=b"a" * 8_000_000))
        await peer.writer.drain()
        status, _, body = await peer.response()
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")


async def test_pitfall_27_a_chunked_body_too_large_gets_a_clear_413() -> None:
    head = request(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with served(World(max_body_bytes=5000)) as address, connected(address) as peer:
        peer.writer.write(head)
        for _ in range(100):
            peer.writer.write(b"1000\r\n" + b"a" * 4096 + b"\r\n")
            await peer.writer.drain()
        assert (await peer.response())[0] == 413


@pytest.mark.parametrize("limits", [{"leftover_timeout_s": 0.1}, {"leftover_bytes": 100_000}])
async def test_what_comes_after_an_early_answer_is_bounded(limits: dict[str, float]) -> None:
    async with served(World(), **limits) as address, connected(address) as peer:
        peer.writer.write(request(key=None, body=b"").replace(b"Content-Length: 0", b"Content-Length: 1000000000"))
        assert (await peer.response())[0] == 401
        ended = asyncio.get_running_loop().create_task(peer.rest(5))
        sent = 0
        while not ended.done() and not peer.writer.is_closing() and sent < 100_000_000:
            peer.writer.write(b"a" * 1000)
            sent += 1000
            await asyncio.sleep(0.001)
        assert sent < 100_000_000
        assert await ended == b""


async def test_expect_100_asks_for_the_body_only_of_who_may_send_it() -> None:
    async with served(World()) as address:
        async with connected(address) as peer:
            peer.writer.write(request(extra="Expect: 100-continue\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        async with connected(address) as peer:
            refused = request(key=None, extra="Expect: 100-continue\r\n")
            peer.writer.write(refused.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            assert (await peer.response())[0] == 401


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
async def test_an_upgrade_is_refused(upgrade: str) -> None:
    world = World()
    extra = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n"
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request(extra=extra))
        received = await peer.rest()
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"no_upgrade" in received
    assert answers(received) == 1
    assert not world.log.decisions


async def test_connect_is_not_served() -> None:
    async with served(World()) as address, connected(address) as peer:
        peer.writer.write(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
        received = await peer.rest()
    assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))


@contextlib.asynccontextmanager
async def slow_client(address: tuple[str, int], buffer_bytes: int = 4096) -> AsyncIterator[socket.socket]:
    """A connection with a small receive buffer, on which nothing is read by itself."""
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        slow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(slow, address)
        yield slow


async def all_from(slow: socket.socket) -> bytes:
    """What is left to read, up to the connection's end, also when that is a cut."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await asyncio.get_running_loop().sock_recv(slow, 1_000_000):
            received += data
    return bytes(received)


def is_cut(slow: socket.socket) -> bool:
    """Whether the other end reset the connection, with or without anything left to read."""
    poll = select.poll()
    poll.register(slow, 0)
    return bool(poll.poll(0))


async def test_a_client_that_reads_nothing_is_cut_and_its_engine_freed() -> None:
    world = World([Text("a" * 10_000)] * 2_000 + list(ANSWER), silence_timeout_s=0.3)
    async with served(world) as address, slow_client(address) as slow:
        await asyncio.get_running_loop().sock_sendall(slow, request(chat(stream=True)))
        await soon(world.engine.freed, 5)
        await eventually(lambda: world.log.outcomes)
        assert world.log.outcome == ("afgebroken", "client_leest_niet")
        await eventually(lambda: is_cut(slow))
        received = await all_from(slow)
    assert b"[DONE]" not in received
    assert len(received) < 10_000_000


async def test_a_client_that_does_not_take_its_whole_answer_is_cut() -> None:
    world = World([Text("a" * 100_000)] * 150 + list(ANSWER))
    async with served(world, idle_timeout_s=0.2) as address, slow_client(address) as slow:
        await asyncio.get_running_loop().sock_sendall(slow, request())
        await eventually(lambda: world.log.outcomes, 5)
        await eventually(lambda: is_cut(slow), 2)
        assert len(await all_from(slow)) < 15_000_000


async def test_a_client_that_takes_its_answer_slowly_is_not_cut() -> None:
    world = World([Text("a" * 100_000)] * 100 + list(ANSWER))
    loop = asyncio.get_running_loop()
    async with served(world, idle_timeout_s=0.2) as address, slow_client(address, 65536) as slow:
        await loop.sock_sendall(slow, request(extra="Connection: close\r\n"))
        received = 0
        while data := await loop.sock_recv(slow, 300_000):
            received += len(data)
            await asyncio.sleep(0.01)
    assert received > 10_000_000


async def test_an_answer_that_breaks_off_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([Text("Hal"), ValueError("kanarie")])

    async def silent(*_: object) -> None:
        return None

    monkeypatch.setattr("tenzij.gateway.answering.Answering._tell", silent)
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request(chat(stream=True)))
        received = await peer.rest()
    assert b"Hal" in received
    assert not received.endswith(b"0\r\n\r\n"), "the last chunk never came"


async def test_bad_bytes_after_an_answer_began_cut_it() -> None:
    """Ours begins no answer before the body is whole; should one ever do, nothing may be written into it."""
    world = World()
    began = asyncio.Event()

    async def early(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"Hal", "more_body": True})
        began.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    world.app = early  # type: ignore[assignment]
    head = request(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(head)
        await soon(began)
        peer.writer.write(b"zz\r\n")
        received = await peer.rest()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert answers(received) == 1
    assert b"invalid_http" not in received


async def test_an_application_that_fails_is_not_quoted(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Ours raises nothing; should it ever do, uvicorn would log it whole."""
    caplog.set_level(logging.DEBUG)
    world = World()

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("kanarie")

    world.app = failing  # type: ignore[assignment]
    async with served(world) as address, connected(address) as peer:
        peer.writer.write(request())
        received = await peer.rest()
    assert received.startswith(b"HTTP/1.1 500 ")
    out, err = capfd.readouterr()
    assert "kanarie" not in received.decode() + out + err + caplog.text


async def test_connections_have_a_largest_number() -> None:
    async with served(World(), max_connections=2) as address, connected(address), connected(address):
        async with connected(address) as third:
            assert await third.rest(2) == b""
        async with connected(address) as fourth:
            assert await fourth.rest(2) == b""


async def test_a_connection_that_ended_makes_room() -> None:
    async with served(World(), max_connections=1) as address:
        for _ in range(3):
            async with connected(address) as peer:
                peer.writer.write(request(path="/health/live", method="GET"))
                assert (await peer.response())[0] == 200
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("open_files", "connections"), [(16384, 4000), (1024, 320), (10, 1)])
def test_connections_leave_descriptors_for_engines(open_files: int, connections: int) -> None:
    assert connections_within(open_files) == connections
