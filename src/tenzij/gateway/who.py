"""Who asks: the key in the header, held against the keyring and the place that it is used from.

- Whoever fails here is counted by code and not logged one by one: otherwise anyone could fill the ledger.
- Behind a proxy the address at the other end is the proxy's, so a key for this machine alone is then never accepted.
  What a proxy says about its client is a header, and headers are not believed.
"""

from __future__ import annotations

from tenzij.gateway.exchange import Exchange
from tenzij.gateway.state import Gateway
from tenzij.identity.caller import Caller
from tenzij.identity.keys import Keyring, key_from_authorization
from tenzij.identity.refusals import KeyRefused, LoopbackOnly
from tenzij.ledger.fields import Origin
from tenzij.ledger.origin import origin_from


def caller_of(gateway: Gateway, exchange: Exchange, keyring: Keyring) -> Caller:
    """Whose key it is. Raises KeyRefused, or InvalidHeader."""
    try:
        presented = key_from_authorization(exchange.header("Authorization"))
        caller = keyring.caller(presented, gateway.outside.now_ms())
        if caller.loopback_only and not _is_this_machine(gateway, exchange):
            raise LoopbackOnly
    except KeyRefused as refused:
        gateway.unauthenticated[refused.code] += 1
        raise
    return caller


def _is_this_machine(gateway: Gateway, exchange: Exchange) -> bool:
    return not gateway.settings.behind_tls_proxy and origin_from(exchange.client_host) is Origin.LOCAL
