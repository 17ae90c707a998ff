"""Writes durably through SQLite in its own folder, as the register does."""

from __future__ import annotations

import socket
import sqlite3

from tenzij.channels.control import Ready, receive_at_child, send


def main(control: socket.socket) -> int:
    received = receive_at_child(control)
    if received is None:
        return 1
    with sqlite3.connect("/state/kept.sqlite") as database:
        mode = database.execute("pragma journal_mode=wal").fetchone()[0]
        database.execute("pragma synchronous=full")
        database.execute("pragma secure_delete=on")
        database.execute("create table kept (what text)")
        database.execute("insert into kept values ('it')")
        database.commit()
        kept = database.execute("select what from kept").fetchall()
    database.close()
    send(control, Ready({"kept": kept, "mode": mode}))
    return 0
