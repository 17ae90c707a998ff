"""Scripted child programs: each function is one, `main(control) -> exit status`, named after what is wrong with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tenzij.channels.control import (
    Accept,
    Connect,
    Connected,
    Failed,
    Models,
    ModelSpec,
    Ready,
    Start,
    Stop,
    ToChild,
    Workers,
    close_all,
    receive_at_child,
    send,
)
from tenzij.types import ModelId, Sha256

POLICY_KEY = "ab" * 32
Taken = Callable[[ToChild, list[int]], None]


def started(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The configuration in `Start`, which must be the first message."""
    received = receive_at_child(control)
    if received is None:
        sys.exit(0)
    message, descriptors = received
    if not isinstance(message, Start):
        sys.exit(98)
    return message.config, descriptors


def serve(control: socket.socket, taken: Taken | None = None) -> int:
    """Hands each message to `taken`, until Stop or the end."""
    while (received := receive_at_child(control)) is not None:
        message, descriptors = received
        if isinstance(message, Stop):
            return 0
        if taken is None:
            close_all(descriptors)
        else:
            taken(message, descriptors)
    return 0


def linger(_: socket.socket) -> int:
    """Does nothing, for long."""
    while True:
        time.sleep(60)


def echo(stream: socket.socket, name: str) -> None:
    """Answers each line with `name` in front, in a thread of its own."""

    def run() -> None:
        with suppress(OSError), stream, stream.makefile("rw") as lines:
            for line in lines:
                lines.write(f"{name} {line}")
                lines.flush()

    threading.Thread(target=run, daemon=True).start()


def ready(control: socket.socket, **facts: object) -> None:
    send(control, Ready(facts))


# Well-behaved


def server(control: socket.socket) -> int:
    """A ledger that echoes, with the role it was told in front."""
    started(control)
    ready(control)
    return serve(control, _accepted)


def _accepted(message: ToChild, descriptors: list[int]) -> None:
    if isinstance(message, Accept):
        echo(socket.socket(fileno=descriptors[0]), message.role)


def register(control: socket.socket, key: str = POLICY_KEY) -> int:
    """A register whose models are what `models.json` in its folder says; an operator's line makes it read that anew."""
    folder = Path(started(control)[0]["folder"])
    ready(control, policy_key=key)

    def announce() -> None:
        with suppress(FileNotFoundError):
            models = json.loads((folder / "models.json").read_text())
            send(control, Models([ModelSpec(**model) for model in models]))

    def operate(stream: socket.socket) -> None:
        with suppress(OSError), stream, stream.makefile("rw") as lines:
            for line in lines:
                announce()
                lines.write(f"operator {line}")
                lines.flush()

    def taken(message: ToChild, descriptors: list[int]) -> None:
        if isinstance(message, Accept) and message.role == "operator":
            threading.Thread(target=operate, args=(socket.socket(fileno=descriptors[0]),), daemon=True).start()
        else:
            _accepted(message, descriptors)

    announce()
    return serve(control, taken)


def gateway(control: socket.socket) -> int:
    """A gateway that speaks lines: "workers" gives their states as JSON, "NAME text" sends NAME text."""
    config, (listening,) = started(control)
    listener = socket.socket(fileno=listening)
    listener.setblocking(True)
    asks: dict[int, socket.socket] = {}
    states: list[dict[str, Any]] = []
    lock = threading.Lock()

    def client(stream: socket.socket, number: int) -> None:
        with suppress(OSError), stream, stream.makefile("rw") as lines:
            line = lines.readline().strip()
            with lock:
                if line == "workers":
                    lines.write(json.dumps(states) + "\n")
                elif line == "config":
                    lines.write(json.dumps(config) + "\n")
                else:
                    asks[number] = stream.dup()
                    send(control, Connect(number, line.partition(" ")[0]))
                    texts[number] = line.partition(" ")[2]

    texts: dict[int, str] = {}

    def listen() -> None:
        number = 0
        while True:
            stream, _ = listener.accept()
            number += 1
            threading.Thread(target=client, args=(stream, number), daemon=True).start()

    def connected(message: Connected, descriptors: list[int]) -> None:
        with lock:
            stream = asks.pop(message.ask)
        with stream:
            if not descriptors:
                stream.sendall(f"refused {message.error}\n".encode())
                return
            with socket.socket(fileno=descriptors[0]) as peer, peer.makefile("rw") as lines:
                peer.setblocking(True)
                lines.write(texts[message.ask] + "\n")
                lines.flush()
                stream.sendall(lines.readline().encode())

    def taken(message: ToChild, descriptors: list[int]) -> None:
        if isinstance(message, Workers):
            with lock:
                states[:] = [msgspec.to_builtins(worker) for worker in message.workers]
        elif isinstance(message, Connected):
            threading.Thread(target=connected, args=(message, descriptors), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    ready(control)
    return serve(control, taken)


def _listening(config: dict[str, Any]) -> int:
    """Echoes on a Unix socket whose name is gone; its O_PATH descriptor."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with tempfile.TemporaryDirectory() as folder:
        sock.bind(f"{folder}/s")
        sock.listen(8)
        place = os.open(f"{folder}/s", os.O_PATH | os.O_NOFOLLOW)

    def accept() -> None:
        while True:
            stream, _ = sock.accept()
            echo(stream, f"{config['model']}")

    threading.Thread(target=accept, daemon=True).start()
    return place


def _facts(config: dict[str, Any]) -> dict[str, object]:
    if config["hash"]:
        return {"weights": config["weights"], "verification": "gehasht"}
    return {"weights": None, "verification": "ongewijzigd"}


def worker(control: socket.socket) -> int:
    """An engine that echoes, with its model's name in front."""
    config, _ = started(control)
    Path(config["file"]).read_bytes()
    send(control, Ready(_facts(config)), [_listening(config)])
    return serve(control)


# Misbehaving from the start


def never_ready(control: socket.socket) -> int:
    started(control)
    return serve(control)


def dies_at_once(control: socket.socket) -> int:
    return 3


def dies_with_words(control: socket.socket) -> int:
    print("the \x1b[31mbox\x07 is broken", file=sys.stderr, flush=True)
    return 1


def killed_by_itself(control: socket.socket) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def _nth_start(folder: str) -> int:
    counter = Path(folder) / "starts"
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text(str(count))
    return count


def dies_twice(control: socket.socket) -> int:
    """A server that dies in its first two starts."""
    config, _ = started(control)
    if _nth_start(config["folder"]) <= 2:
        return 4
    ready(control, policy_key=POLICY_KEY)
    return serve(control, _accepted)


def fails(control: socket.socket) -> int:
    started(control)
    send(control, Failed("no_disk", "the disk\x1b[2J is\nfull"))
    return serve(control)


def fails_finally(control: socket.socket) -> int:
    started(control)
    send(control, Failed("weights_mismatch", "the weights differ from their passport", final=True))
    return serve(control)


def fails_later(control: socket.socket) -> int:
    """Is ready, and then fails with words that might be a request's."""
    _, descriptors = started(control)
    close_all(descriptors)
    ready(control, policy_key=POLICY_KEY)
    send(control, Failed("broken", "geheime vraag van een burger"))
    return serve(control)


# Misbehaving on the control channel, once ready


def _misbehave(control: socket.socket, how: Callable[[], object]) -> int:
    started(control)
    ready(control, policy_key=POLICY_KEY)
    how()
    return serve(control)


def garbage(control: socket.socket) -> int:
    return _misbehave(control, lambda: control.send(b"\xff\xfe{]"))


def deep(control: socket.socket) -> int:
    return _misbehave(
        control, lambda: control.send(b'{"type":"ready","facts":{"a":' + b"[" * 60000 + b"]" * 60000 + b"}}")
    )


def too_large(control: socket.socket) -> int:
    return _misbehave(control, lambda: control.send(b'{"type":"connect","to":"' + b"x" * 140_000 + b'"}'))


def twice_ready(control: socket.socket) -> int:
    return _misbehave(control, lambda: ready(control))


def floods(control: socket.socket) -> int:
    def flood() -> None:
        for ask in range(1_000_000):
            send(control, Connect(ask, "ledger"))

    return _misbehave(control, flood)


def sends_descriptors(control: socket.socket) -> int:
    return _misbehave(control, lambda: send(control, Connect(1, "ledger"), [0, 0]))


def sends_many_descriptors(control: socket.socket) -> int:
    return _misbehave(control, lambda: socket.send_fds(control, [b'{"type":"models","models":[]}'], [0] * 40))


def descriptors_with_ready(control: socket.socket) -> int:
    started(control)
    send(control, Ready({"policy_key": POLICY_KEY}), [0])
    return serve(control)


def names_models(control: socket.socket) -> int:
    spec = ModelSpec(ModelId("m"), Sha256("0" * 64), 1, "x", [], 1)
    return _misbehave(control, lambda: send(control, Models([spec])))


def models_before_ready(control: socket.socket) -> int:
    started(control)
    send(control, Models([]))
    return serve(control)


def bad_model_id(control: socket.socket) -> int:
    spec = ModelSpec(ModelId("m\x1b[2J"), Sha256("0" * 64), 1, "x", [], 1)
    return _misbehave(control, lambda: send(control, Models([spec])))


def closes_control(control: socket.socket) -> int:
    def close() -> None:
        control.close()
        time.sleep(600)

    return _misbehave(control, close)


def never_reads(control: socket.socket) -> int:
    return _misbehave(control, lambda: time.sleep(600))


def ignores_the_end(control: socket.socket) -> int:
    """Neither Stop nor SIGTERM nor the end of the channel ends it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, descriptors = started(control)
    close_all(descriptors)
    ready(control, policy_key=POLICY_KEY)
    return linger(control)


# Registers that are not the pinned one


def other_register(control: socket.socket) -> int:
    return register(control, "cd" * 32)


def register_without_key(control: socket.socket) -> int:
    return register(control, "not a key")


# Workers that are not what they say


def _worker_that_hands(control: socket.socket, *descriptors: int, **changed: object) -> int:
    config, _ = started(control)
    send(control, Ready({**_facts(config), **changed}), [*descriptors] or [_listening(config)])
    return serve(control)


def worker_with_link(control: socket.socket) -> int:
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "s"
        link.symlink_to("/run/systemd/private")
        place = os.open(link, os.O_PATH | os.O_NOFOLLOW)
    return _worker_that_hands(control, place)


def worker_with_file(control: socket.socket) -> int:
    return _worker_that_hands(control, os.open("/etc/hostname", os.O_PATH))


def worker_with_open_socket(control: socket.socket) -> int:
    return _worker_that_hands(control, socket.socketpair()[0].detach())


def worker_with_two(control: socket.socket) -> int:
    return _worker_that_hands(control, 0, 0)


def worker_without(control: socket.socket) -> int:
    config, _ = started(control)
    send(control, Ready(_facts(config)))
    return serve(control)


def worker_with_other_weights(control: socket.socket) -> int:
    return _worker_that_hands(control, weights="f" * 64)


def worker_that_skips_hashing(control: socket.socket) -> int:
    return _worker_that_hands(control, verification="ongewijzigd", weights=None)


def worker_that_is_not_listening(control: socket.socket) -> int:
    """Hands over the place of a socket that is closed."""
    with tempfile.TemporaryDirectory() as folder:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(f"{folder}/s")
        place = os.open(f"{folder}/s", os.O_PATH)
        sock.close()
    return _worker_that_hands(control, place)


def worker_that_touches_weights(control: socket.socket) -> int:
    config, _ = started(control)
    os.utime(config["file"])
    send(control, Ready(_facts(config)), [_listening(config)])
    return serve(control)


def garbage_at_once(control: socket.socket) -> int:
    started(control)
    control.send(b"{")
    return serve(control)


def fails_when_told(control: socket.socket) -> int:
    received = receive_at_child(control)
    if received is not None:
        send(control, Failed("told", "was told something"))
    return 1


def with_a_child_that_stays(control: socket.socket) -> int:
    """Neither it nor the process that it made ends when asked."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); time.sleep(600)"
    below = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE)
    if below.stdout is not None:
        below.stdout.readline()
    return ignores_the_end(control)


def worker_that_stays(control: socket.socket) -> int:
    """Listens on after Stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker(control)
    return linger(control)
