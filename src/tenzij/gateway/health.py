"""GET /health/live and /health/ready: for probes, without a key, and so without anything that is not a code.

Ready means: a current policy version and keyring, a ledger that records, and at least one model that answers.
"""

from __future__ import annotations

from tenzij.gateway.exchange import Exchange
from tenzij.gateway.state import Gateway

_SENTENCES = {
    "stopping": "This service is stopping.",
    "policy": "There is no current policy version or keyring.",
    "ledger": "The ledger cannot record.",
    "models": "No model is ready.",
}


async def live(_: Gateway, exchange: Exchange) -> None:
    """200 while the process serves at all."""
    await exchange.respond(200, {"status": "live"})


async def ready(gateway: Gateway, exchange: Exchange) -> None:
    """200 when a request can be answered, else 503 with the reasons."""
    reasons = gateway.not_ready_reasons()
    if not reasons:
        await exchange.respond(200, {"status": "ready"})
        return
    told = [{"code": code, "message": _SENTENCES[code]} for code in reasons]
    await exchange.respond(503, {"status": "not_ready", "reasons": told}, ((b"retry-after", b"5"),))
