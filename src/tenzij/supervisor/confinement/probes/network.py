"""Doors to a network, and to sockets of others: making sockets, reaching peers of the host's."""

from __future__ import annotations

import ctypes
import itertools
import socket

from tenzij.supervisor.confinement.probes import system
from tenzij.supervisor.confinement.probes.probe import TIMEOUT_S, Attempt, Held, Surroundings, Theme

THEME = Theme()
MSG_FASTOPEN = 0x20000000
IPPROTO_MPTCP = 262
LAST_FAMILY = 46
TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_RDM, socket.SOCK_SEQPACKET, 10)
QUERY = bytes.fromhex("0001 0100 0001 0000 0000 0000 03 777777 07 696e76616c6964 00 0001 0001")

KINDS = {
    "an IPv4 TCP socket": (socket.AF_INET, socket.SOCK_STREAM, 0),
    "an IPv4 UDP socket": (socket.AF_INET, socket.SOCK_DGRAM, 0),
    "an IPv6 TCP socket": (socket.AF_INET6, socket.SOCK_STREAM, 0),
    "an IPv6 UDP socket": (socket.AF_INET6, socket.SOCK_DGRAM, 0),
    "an MPTCP socket": (socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP),
    "an SCTP socket": (socket.AF_INET, socket.SOCK_STREAM, 132),
    "a raw IP socket": (socket.AF_INET, socket.SOCK_RAW, 255),
    "an ICMP socket": (socket.AF_INET, socket.SOCK_DGRAM, 1),
    "a packet socket": (socket.AF_PACKET, socket.SOCK_RAW, 0),
    "a netlink socket": (socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "a vsock socket": (socket.AF_VSOCK, socket.SOCK_STREAM, 0),
    "a kernel crypto socket": (socket.AF_ALG, socket.SOCK_SEQPACKET, 0),
    "a Unix datagram socket": (socket.AF_UNIX, socket.SOCK_DGRAM, 0),
    "a Unix packet socket": (socket.AF_UNIX, socket.SOCK_SEQPACKET, 0),
}


def _make(family: int, kind: int, protocol: int) -> None:
    socket.socket(family, kind, protocol).close()


def _making(family: int, kind: int, protocol: int) -> Attempt:
    def attempt(_: Surroundings) -> str:
        _make(family, kind, protocol)
        return "the socket was made"

    return attempt


for _name, _kind in KINDS.items():
    THEME.probe(f"make {_name}")(_making(*_kind))


@THEME.probe("make a Unix stream socket", "gateway", "ledger", "register")
def make_unix_stream(_: Surroundings) -> str:
    _make(socket.AF_UNIX, socket.SOCK_STREAM, 0)
    return "the socket was made"


@THEME.probe("make a socket of any other family")
def make_any(_: Surroundings) -> str:
    made = []
    for family, kind in itertools.product(range(LAST_FAMILY + 1), TYPES):
        if family == socket.AF_UNIX and kind in (socket.SOCK_STREAM, socket.SOCK_RAW):  # SOCK_RAW is a datagram here
            continue
        try:
            _make(family, kind, 0)
        except OSError:
            continue
        made.append(family)
    if not made:
        raise Held("none of them")
    return f"families {sorted(set(made))}"


@THEME.probe("make a pair of datagram sockets")
def make_pair(_: Surroundings) -> str:
    for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM):
        end.close()
    return "the pair was made"


@THEME.probe("connect by TCP to the host")
def connect_tcp(host: Surroundings) -> str:
    socket.create_connection(host.tcp, TIMEOUT_S).close()
    return "connected"


@THEME.probe("connect by IPv6 to the host")
def connect_tcp6(host: Surroundings) -> str:
    if host.tcp6 is None:
        raise Held("the host has no IPv6")
    socket.create_connection(host.tcp6, TIMEOUT_S).close()
    return "connected"


@THEME.probe("connect by MPTCP to the host")
def connect_mptcp(host: Surroundings) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(host.tcp)
    return "connected"


@THEME.probe("open by TCP fast open")
def fast_open(host: Surroundings) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.sendto(b"x", MSG_FASTOPEN, host.tcp)
    return "opened"


@THEME.probe("send a UDP datagram")
def send_udp(host: Surroundings) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", host.udp)
    return "sent"


@THEME.probe("ask a resolver (DNS)")
def ask_dns(host: Surroundings) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.sendto(QUERY, host.udp)
        return f"{len(sock.recv(512))} bytes came back"


@THEME.probe("listen on a port of its own")
def listen_tcp(_: Surroundings) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        return "listening"


@THEME.probe("connect to a Unix socket of the host's")
def connect_unix(host: Surroundings) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(host.unix)
    return "connected"


@THEME.probe("connect to an abstract Unix socket of the host's")
def connect_abstract(host: Surroundings) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect("\0" + host.abstract)
    return "connected"


@THEME.probe("listen on an abstract Unix socket", "gateway", "ledger", "register")
def listen_abstract(_: Surroundings) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind("\0tenzij-probe")
        sock.listen()
    return "listening"


@THEME.probe("connect to a Unix socket of its own")
def connect_own(_: Surroundings) -> str:
    """No connection at all is made from inside, not even to itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind("")  # a name of the kernel's choice
        server.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(server.getsockname())
    return "connected"


@THEME.probe("use io_uring")
def io_uring(_: Surroundings) -> str:
    parameters = ctypes.create_string_buffer(120)
    system.call("io_uring_setup", 4, parameters)
    return "a ring was made"
