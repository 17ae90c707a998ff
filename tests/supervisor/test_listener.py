"""The TCP listener: addresses, and advice when it cannot be had."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from tenzij.config import Gateway
from tenzij.supervisor.listener import CannotListen, PortTaken, address_of, bound, bound_soon


@pytest.mark.parametrize(("host", "seen"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", "127.0.0.1")])
def test_it_listens_where_it_is_told(host: str, seen: str) -> None:
    with bound(Gateway(host=host, port=0)) as sock:
        at, port = address_of(sock)
        assert at == seen
        with socket.create_connection((at, port), timeout=5), sock.accept()[0]:
            pass


def test_everywhere_is_both_families() -> None:
    with bound(Gateway(host="0.0.0.0", port=0, behind_tls_proxy=True)) as sock:  # noqa: S104
        assert address_of(sock)[0] == "0.0.0.0"  # noqa: S104


def test_a_port_that_is_taken_is_named_with_advice() -> None:
    with bound(Gateway(port=0)) as first:
        port = address_of(first)[1]
        with pytest.raises(CannotListen, match=rf"port {port} on 127.0.0.1 is in use .* gateway.port"):
            bound(Gateway(port=port))


async def test_a_port_that_comes_free_is_waited_for() -> None:
    with bound(Gateway(port=0)) as first:
        address = address_of(first)
        asyncio.get_running_loop().call_later(0.2, first.close)
        with await bound_soon(Gateway(port=address[1])) as second:
            assert address_of(second) == address


async def test_a_port_that_stays_taken_is_said() -> None:
    with bound(Gateway(port=0)) as first:
        began = time.monotonic()
        with pytest.raises(PortTaken):
            await bound_soon(Gateway(port=address_of(first)[1]))
        assert time.monotonic() - began < 5


def test_a_port_can_be_had_again_at_once_after_a_connection() -> None:
    with bound(Gateway(port=0)) as first:
        address = address_of(first)
        with socket.create_connection(address, timeout=5) as client:
            first.setblocking(True)
            first.accept()[0].close()  # this side closes first: TIME_WAIT
            assert client.recv(1) == b""
    with bound(Gateway(port=address[1])):
        pass


def test_an_address_of_another_machine() -> None:
    with pytest.raises(CannotListen, match="not an address of this machine"):
        bound(Gateway(host="192.0.2.1", port=0, behind_tls_proxy=True))


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(CannotListen, match="no address is known for gateway"):
        bound(Gateway(host="gateway.example", behind_tls_proxy=True))


def test_a_port_for_root_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(CannotListen, match="above 1023"):
        bound(Gateway(port=443))
