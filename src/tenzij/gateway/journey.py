"""One request's journey: identity ▶ privacy ▶ policy ▶ ledger ▶ engine ▶ relay ▶ client.

- The key is checked before the body is read, and again after it: a body takes its time, and a revocation must work.
- Nothing reaches an engine before the decision is durable; every allowed decision gets exactly one outcome.
- The client is told first and the outcome written after it: a slow ledger delays no answer, and holds no engine.
- Whatever fails, the client hears of it once: as a status while nothing was sent, else as an error event that ends the
  stream without `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenzij.errors import PlatformError
from tenzij.gateway import headers
from tenzij.gateway.answering import Answering
from tenzij.gateway.asked import Asked
from tenzij.gateway.body import read_body
from tenzij.gateway.bounds import bounded
from tenzij.gateway.decided import Decided
from tenzij.gateway.exchange import Exchange
from tenzij.gateway.facts import facts_from
from tenzij.gateway.faults import fault_from_refusal
from tenzij.gateway.question import question_bytes
from tenzij.gateway.recording import recorded
from tenzij.gateway.state import Gateway
from tenzij.gateway.strict_json import tree_from_bytes
from tenzij.gateway.who import caller_of
from tenzij.identity.caller import Caller
from tenzij.ledger.commitments import KEY_BYTES, QUESTION, commitment
from tenzij.ledger.conversion import besluit_from
from tenzij.ledger.origin import origin_from
from tenzij.policy.decide import decide
from tenzij.policy.decision import Exceptional, Local, Refused
from tenzij.policy.facts import Facts
from tenzij.policy.snapshot import Snapshot
from tenzij.types import RequestId

Parse = Callable[[Any], Asked]


class NoDoor(PlatformError):
    """The policy lets a request leave, and there is nothing yet that could carry it."""

    code = "no_door"


async def converse(gateway: Gateway, exchange: Exchange, parse: Parse) -> None:
    """Serves one request for an answer. Raises TenzijError or ClientGone while nothing was decided."""
    entrance(gateway, exchange)
    declared = headers.declared_from_header(exchange.header(headers.DECLARED))
    chosen = exchange.header(headers.USE_CASE)
    body = await read_body(exchange, gateway.settings.max_body_bytes, gateway.settings.body_timeout_s)
    asked = parse(tree_from_bytes(body, gateway.settings.max_json_depth))
    del body  # up to megabytes, for as long as the answer takes
    snapshot, caller = entrance(gateway, exchange)
    facts = facts_from(
        asked,
        caller,
        snapshot,
        use_case=headers.use_case_from_header(chosen, caller.use_cases),
        declared=declared,
        now_ms=gateway.outside.now_ms(),
        default_max_tokens=gateway.settings.default_max_tokens,
    )
    decided = _decided(gateway, exchange, asked, facts, snapshot)
    decision = decided.decision
    if isinstance(decision, Refused):
        await gateway.log.record_decision(decided.entry, decided.key)
        await exchange.fail(fault_from_refusal(decision), decided.provenance)
        return
    async with recorded(gateway, decided) as tally:
        await Answering(gateway, exchange, decided, decision, tally).run()


def entrance(gateway: Gateway, exchange: Exchange) -> tuple[Snapshot, Caller]:
    """The policy version to decide by, and who asks. Raises PlatformError when closed, KeyRefused, InvalidHeader."""
    gateway.verify_running()
    snapshot, keyring = gateway.open_policy()
    gateway.verify_ledger()
    return snapshot, caller_of(gateway, exchange, keyring)


def _decided(gateway: Gateway, exchange: Exchange, asked: Asked, facts: Facts, snapshot: Snapshot) -> Decided:
    """Decides; the commitment is to exactly what then goes to the engine. Raises ContextLengthExceeded, NoDoor."""
    decision = decide(facts, snapshot)
    if isinstance(decision, Exceptional):
        raise NoDoor("This request would leave this machine, and there is no way out. Nothing was sent.")
    model = None
    if isinstance(decision, Local):
        model = decision.model
        asked = bounded(asked, snapshot.models[model].context_tokens, gateway.settings.default_max_tokens)
    request = RequestId(gateway.outside.random_bytes(16).hex())
    key = gateway.outside.random_bytes(KEY_BYTES)
    entry = besluit_from(
        facts,
        decision,
        snapshot,
        request=request,
        origin=origin_from(exchange.client_host),
        verification=None if model is None else gateway.verification_of(model),
        question=commitment(key, QUESTION, question_bytes(asked, model)),
    )
    return Decided(asked, decision, entry, key, headers.provenance(request, decision, snapshot))
