"""Doors through sockets that were handed over: turning an accepted stream, or any TCP socket, to another peer.

The socket comes from the host's own network: if one call were let through here, it would leave the machine. All these
probes share it, so an open door can hide those after it: what opens a connection comes first.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Callable

from tenzij.supervisor.confinement.probes import system
from tenzij.supervisor.confinement.probes.network import MSG_FASTOPEN
from tenzij.supervisor.confinement.probes.probe import Attempt, Held, Surroundings, Theme

THEME = Theme()
# A worker may bind and listen on the Unix sockets that it makes. A filter of system calls cannot tell those from a TCP
# socket; what holds there is that a worker is never handed one, and Landlock on a kernel that has it for TCP.
WITHOUT_LISTENING = ("gateway", "ledger", "register")

OPTIONS = {
    "TCP_FASTOPEN": (socket.IPPROTO_TCP, 23),
    "TCP_FASTOPEN_CONNECT": (socket.IPPROTO_TCP, 30),
    "TCP_FASTOPEN_NO_COOKIE": (socket.IPPROTO_TCP, 34),
    "TCP_REPAIR": (socket.IPPROTO_TCP, 19),
    "TCP_DEFER_ACCEPT": (socket.IPPROTO_TCP, 9),
    "SO_MARK": (socket.SOL_SOCKET, 36),
    "SO_BROADCAST": (socket.SOL_SOCKET, 6),
    "SO_BUSY_POLL": (socket.SOL_SOCKET, 46),
    "IP_TRANSPARENT": (socket.IPPROTO_IP, 19),
    "IP_FREEBIND": (socket.IPPROTO_IP, 15),
    "IP_TOS": (socket.IPPROTO_IP, 1),
}


class _Address(ctypes.Structure):
    _fields_ = [
        *(("family", ctypes.c_ushort), ("port", ctypes.c_ushort)),
        *(("address", ctypes.c_uint32), ("zero", ctypes.c_uint64)),
    ]


def _disconnect(sock: socket.socket) -> None:
    """connect(AF_UNSPEC): a connected TCP socket can be connected anew after it."""
    system.libc("connect", sock.fileno(), ctypes.byref(_Address()), ctypes.sizeof(_Address))


def _on(sock: socket.socket, use: Callable[[socket.socket], object], reached: str) -> str:
    with sock:
        sock.setblocking(True)  # with a timeout Python would first wait until it can be written to
        use(sock)
    return reached


@THEME.probe("disconnect an accepted stream")
def disconnect(host: Surroundings) -> str:
    return _on(host.stream(), _disconnect, "disconnected: it can be connected anew")


@THEME.probe("connect an accepted stream elsewhere")
def reconnect(host: Surroundings) -> str:
    def use(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            _disconnect(sock)
        sock.connect(host.tcp)

    return _on(host.stream(), use, "connected elsewhere")


@THEME.probe("open an accepted stream elsewhere by TCP fast open")
def reopen(host: Surroundings) -> str:
    def use(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            _disconnect(sock)
        sock.sendto(b"x", MSG_FASTOPEN, host.tcp)

    return _on(host.stream(), use, "opened elsewhere")


@THEME.probe("make an accepted stream listen")
def stream_listens(host: Surroundings) -> str:
    def use(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            _disconnect(sock)
        sock.listen()
        _check_listens(sock)

    return _on(host.stream(), use, "listening")


@THEME.probe("connect a socket of the host's")
def connect(host: Surroundings) -> str:
    return _on(host.loose(), lambda sock: sock.connect(host.tcp), "connected")


@THEME.probe("open a socket of the host's by fast open, sendto")
def fast_open_sendto(host: Surroundings) -> str:
    return _on(host.loose(), lambda sock: sock.sendto(b"x", MSG_FASTOPEN, host.tcp), "opened")


@THEME.probe("open a socket of the host's by fast open, sendmsg")
def fast_open_sendmsg(host: Surroundings) -> str:
    return _on(host.loose(), lambda sock: sock.sendmsg([b"x"], [], MSG_FASTOPEN, host.tcp), "opened")


@THEME.probe("open a socket of the host's by fast open, sendmmsg")
def fast_open_sendmmsg(host: Surroundings) -> str:
    name = struct.pack("!2sH4s8x", struct.pack("=H", socket.AF_INET), host.tcp[1], socket.inet_aton(host.tcp[0]))
    address, payload = ctypes.create_string_buffer(name), ctypes.create_string_buffer(b"x")
    vector = struct.pack("@PN", ctypes.addressof(payload), 1)
    pieces = ctypes.create_string_buffer(vector)
    header = struct.pack("@PIPNPNi4xI4x", ctypes.addressof(address), 16, ctypes.addressof(pieces), 1, 0, 0, 0, 0)
    headers = ctypes.create_string_buffer(header)

    def use(sock: socket.socket) -> None:
        system.libc("sendmmsg", sock.fileno(), headers, ctypes.c_uint(1), ctypes.c_int(MSG_FASTOPEN))

    return _on(host.loose(), use, "opened")


@THEME.probe("bind a socket of the host's", *WITHOUT_LISTENING)
def bind(host: Surroundings) -> str:
    return _on(host.loose(), lambda sock: sock.bind(("127.0.0.1", 0)), "bound")


@THEME.probe("make a socket of the host's listen", *WITHOUT_LISTENING)
def listen(host: Surroundings) -> str:
    def use(sock: socket.socket) -> None:
        sock.listen()
        _check_listens(sock)

    return _on(host.loose(), use, "listening")


def _check_listens(sock: socket.socket) -> None:
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise Held("listen did nothing")


def _setting(level: int, option: int) -> Attempt:
    def attempt(host: Surroundings) -> str:
        return _on(host.loose(), lambda sock: sock.setsockopt(level, option, 1), "set")

    return attempt


for _name, (_level, _option) in OPTIONS.items():
    THEME.probe(f"set {_name}")(_setting(_level, _option))


@THEME.probe("use an upper protocol on a socket (TCP_ULP)")
def upper_protocol(host: Surroundings) -> str:
    """`mptcp` and `tls` are such; on a socket that is not connected the kernel loads the module all the same."""
    return _on(host.stream(), lambda sock: sock.setsockopt(socket.IPPROTO_TCP, 31, b"tls"), "set")


@THEME.probe("bind a socket to a device of the host's")
def bind_to_device(host: Surroundings) -> str:
    return _on(host.loose(), lambda sock: sock.setsockopt(socket.SOL_SOCKET, 25, b"lo"), "bound")


@THEME.probe("attach a program to a socket")
def attach_filter(host: Surroundings) -> str:
    accept_all = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0xFFFF))
    program = struct.pack("@HP", 1, ctypes.addressof(accept_all))
    return _on(host.loose(), lambda sock: sock.setsockopt(socket.SOL_SOCKET, 26, program), "attached")
