"""The children together: how they come up, what they are to each other, how they go down.

Rules
- All start at once, to be ready soon; the gateway is told nothing, and so does nothing, until the register has said
  with which key it signs. After that each comes and goes by itself, and who needs it asks for a new connection.
- Each model that the register names has a worker; the gateway hears of every change among them.
- A worker that is given up leaves the rest running. Any other child given up is the end: `failed` is told why.
- An operator's stream waits in the listener's queue until the register is ready, and is then handed to it.
- Down: the gateway first, then all others at once.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tenzij import config
from tenzij.channels.control import Accept, Connect, Models, ModelSpec, Workers
from tenzij.supervisor import operator_socket
from tenzij.supervisor.broker import Broker
from tenzij.supervisor.child import Child, Patience
from tenzij.supervisor.events import ChildChanged, Event
from tenzij.supervisor.home import Home
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.role import Launch, Role
from tenzij.supervisor.roles import GatewayRole, LedgerRole, RegisterRole
from tenzij.supervisor.timing import AT_ONCE, GATEWAY_SHARE, plan_within
from tenzij.supervisor.worker_role import WorkerRole
from tenzij.supervisor.workers import WorkerSet

_MODEL_ID: Final = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")  # as a passport has it; it becomes part of a name
_MOST_ID_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Means:
    """What the family is started with."""

    settings: config.Config
    home: Home
    clients: socket.socket  # the TCP listener
    operators: socket.socket  # the operator's listener
    launch: Launch


class Family:
    """All children, none started. `report` hears of each change; `failed`, when one is given up that all need, why."""

    def __init__(
        self,
        means: Means,
        group: asyncio.TaskGroup,
        report: Callable[[Event], None],
        failed: Callable[[str], None],
    ) -> None:
        self._means = means
        self._group = group
        self._report = report
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[Child, asyncio.Task[None]] = {}
        self._hasty = False
        settings, home, launch = means.settings, means.home, means.launch
        self._workers = WorkerSet(
            self._worker_role, self._adopt, self._tell_gateway, settings.supervisor.stop_timeout_s
        )
        self._register_role = RegisterRole(settings, home, launch)
        gateway = GatewayRole(settings, means.clients, self._policy_key, self._worker_states, launch)
        self._register, _ = self._adopt(self._register_role)
        self._ledger, _ = self._adopt(LedgerRole(settings, home, launch))
        self._gateway, _ = self._adopt(gateway)
        servers = {"register": self._register, "ledger": self._ledger}
        self._broker = Broker(servers, self._workers.connection)

    async def bring_up(self) -> None:
        """Starts all; returns when requests can be answered."""
        needed = (self._register, self._ledger, self._gateway)
        for child in needed:
            child.start()
        for child in needed:
            await child.until(State.READY)

    async def take_down(self) -> list[str]:
        """Stops all, within the configured time; the names of those that could not be ended."""
        total_s = self._means.settings.supervisor.stop_timeout_s
        until_s = self._loop.time() + total_s
        self._accept_operators(False)
        self._gateway.stop(plan_within(GATEWAY_SHARE * total_s))
        await self._ended([self._gateway], GATEWAY_SHARE * total_s)
        plan = AT_ONCE if self._hasty else plan_within(until_s - self._loop.time())
        others = [self._register, self._ledger, *self._workers.children()]
        self._register.stop(plan)
        self._ledger.stop(plan)
        self._workers.stop(plan)
        await self._ended(others, until_s - self._loop.time())
        lingering = [child.name for child, task in self._tasks.items() if not task.done()]
        for task in self._tasks.values():
            task.cancel()
        return lingering

    def kill(self) -> None:
        """Ends every process at once; for use while it is taken down."""
        self._hasty = True
        for child in self._tasks:
            child.kill()

    async def _ended(self, children: Iterable[Child], within_s: float) -> None:
        tasks = [self._tasks[child] for child in children if child in self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, within_s))

    def _adopt(self, role: Role) -> tuple[Child, asyncio.Task[None]]:
        supervisor = self._means.settings.supervisor
        patience = Patience(
            first_pause_s=supervisor.restart_backoff_s,
            longest_pause_s=supervisor.restart_backoff_max_s,
            give_up_after=supervisor.give_up_after,
            forgiven_after_s=supervisor.restart_backoff_max_s,
        )
        child = Child(role, patience, self._changed, self._heard)
        task = self._group.create_task(child.run(), name=child.name)
        self._tasks[child] = task
        task.add_done_callback(lambda _: self._tasks.pop(child))
        return child, task

    def _changed(self, child: Child) -> None:
        self._report(ChildChanged(child.name, child.state, child.reason, child.pid))
        if child.role.kind == "worker":
            self._tell_gateway()
        elif child.state is State.GIVEN_UP:
            self._failed(f"the {child.name} was given up: {child.reason}")
        if child is self._register:
            self._accept_operators(child.state is State.READY)
            self._gateway.speak()

    def _heard(self, child: Child, message: Connect | Models) -> None:
        if isinstance(message, Connect):
            self._broker.answer(child, message)
        elif child is not self._register:
            child.fault("names models, which is the register's to do")
        elif not all(_is_model_id(spec.model) for spec in message.models):
            child.fault("names a model whose id is not one")
        else:
            self._workers.want(message)

    def _worker_role(self, spec: ModelSpec, slot: int) -> WorkerRole:
        means = self._means
        return WorkerRole(means.settings, means.home, spec, slot, means.launch)

    def _policy_key(self) -> str:
        return self._register_role.policy_key

    def _worker_states(self) -> Workers:
        return self._workers.states()

    def _tell_gateway(self) -> None:
        self._gateway.send(self._workers.states())

    def _accept_operators(self, wanted: bool) -> None:
        if wanted:
            self._loop.add_reader(self._means.operators.fileno(), self._on_operator)
        else:
            self._loop.remove_reader(self._means.operators.fileno())

    def _on_operator(self) -> None:
        try:
            stream, _ = self._means.operators.accept()
        except OSError:  # gone again, or no descriptors left
            return
        if operator_socket.may_operate(stream):
            self._register.send(Accept("operator"), [stream.detach()])
        else:
            stream.close()


def _is_model_id(text: str) -> bool:
    return len(text) <= _MOST_ID_CHARACTERS and _MODEL_ID.fullmatch(text) is not None
