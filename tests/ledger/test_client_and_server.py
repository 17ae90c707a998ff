"""Client and server together, under cancelled callers, cut connections, failing files and restarts of the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random  # noqa: TID251 - seeded
import socket
from pathlib import Path

import pytest

from ledger.faulty_files import Fault, FaultyFiles
from ledger.lines import cancelled_at_the_end
from ledger.running import Running, running, until
from ledger.samples import decision, outcome, request
from ledger.test_keeper_model import verify
from tenzij.channels.control import Refusal
from tenzij.errors import LedgerUnavailable
from tenzij.ledger.client import LedgerClient
from tenzij.ledger.entries import DecisionEntry, OutcomeEntry

REQUESTS = 150


class Supervisor:
    """Hands over connections to the ledger that runs now, keeps copies in order to cut them."""

    def __init__(self) -> None:
        self.ledger: Running | None = None
        self.connections: list[socket.socket] = []

    async def connect(self) -> socket.socket:
        if self.ledger is None:
            raise Refusal("the ledger is starting")
        connection = await self.ledger.hand_over()
        self.connections.append(connection.dup())
        return connection

    def cut(self) -> None:
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.connections.clear()


class Story:
    """What a gateway does with many requests, and what it was told."""

    def __init__(self, client: LedgerClient, dice: random.Random) -> None:
        self.client = client
        self.dice = dice
        self.acknowledged: dict[int, tuple[type, str]] = {}
        self.unavailable = 0

    async def request(self, number: int) -> None:
        """One request: decided, maybe refused, maybe cancelled at any moment, ended in `finally` as a gateway does."""
        entry = decision(number, allowed=self.dice.random() < 0.9)
        index: int | None = None
        await asyncio.sleep(self.dice.random() * 0.15)  # when it arrives
        try:
            index = await self.client.record_decision(entry)
            self.acknowledged[index] = (DecisionEntry, entry.request)
            await asyncio.sleep(self.dice.random() * 0.005)
        except LedgerUnavailable:
            self.unavailable += 1
        finally:
            if index is not None and entry.is_allowed:
                ended = await self.client.record_outcome(outcome(number, index))
                self.acknowledged[ended] = (OutcomeEntry, entry.request)


async def _disturb(story: Story, supervisor: Supervisor, files: FaultyFiles, tasks: list[asyncio.Task[None]]) -> None:
    dice = story.dice
    for _ in range(25):
        await asyncio.sleep(dice.random() * 0.01)
        match dice.randrange(4):
            case 0:
                supervisor.cut()
            case 1:
                files.fault = Fault(
                    len(files.calls) + dice.randrange(4), "error", dice.choice([errno.EIO, errno.ENOSPC])
                )
            case _:
                dice.choice(tasks).cancel()


@pytest.mark.parametrize("seed", range(8))
async def test_everything_goes_wrong_and_every_request_is_accounted_for(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    files, supervisor = FaultyFiles(), Supervisor()
    client = LedgerClient(supervisor.connect, decision_wait_s=2.0)
    story = Story(client, dice)
    tasks: list[asyncio.Task[None]] = []
    async with cancelled_at_the_end(asyncio.create_task(client.run())):  # noqa: TID251
        for life in range(3):
            async with running(tmp_path, files) as supervisor.ledger:
                numbers = range(life * REQUESTS, (life + 1) * REQUESTS)
                tasks = [asyncio.create_task(story.request(number)) for number in numbers]  # noqa: TID251
                await _disturb(story, supervisor, files, tasks)
                if life == 2:
                    await asyncio.wait(tasks, timeout=20)
                    assert await client.settled(10.0)
            supervisor.ledger = None
            supervisor.cut()
            files.kill()
        assert all(task.done() for task in tasks)
    async with running(tmp_path, files) as supervisor.ledger:
        line = await supervisor.ledger.greeted()  # the next gateway
        await until(lambda: supervisor.ledger is not None and not supervisor.ledger.book.unfinished)
        line.close()
    supervisor.cut()
    verify(files, story.acknowledged)
    assert len(story.acknowledged) > 20  # it was about something


async def test_a_gateway_dies_in_the_middle(tmp_path: Path) -> None:
    supervisor = Supervisor()
    async with running(tmp_path) as supervisor.ledger:
        client = LedgerClient(supervisor.connect)
        async with cancelled_at_the_end(asyncio.create_task(client.run())):  # noqa: TID251
            indices = [await client.record_decision(decision(number)) for number in range(3)]
            await client.record_outcome(outcome(1, indices[1]))
        supervisor.cut()
        second = LedgerClient(supervisor.connect)
        async with cancelled_at_the_end(asyncio.create_task(second.run())):  # noqa: TID251
            assert await second.record_decision(decision(9, allowed=False)) > 3
            book = supervisor.ledger.book
            await until(lambda: not book.unfinished)
        supervisor.cut()
    verify(supervisor.ledger.files, {0: (DecisionEntry, request(0))})
