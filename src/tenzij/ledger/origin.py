"""The class of network that a client's address is in: all that the log keeps of it.

BIO2 8.15.01 asks for the origin (oorsprong) of an action. An address is personal data where it is a person's device,
and the key's id already leads to whoever answers for the request; so the class is recorded and the address is not.
"""

from __future__ import annotations

import ipaddress

from tenzij.ledger.fields import Origin


def origin_from(host: str | None) -> Origin:
    """Of an IP address as text; what is no address counts as EXTERNAL.

    Behind a proxy the address is the proxy's, so the class says where the proxy stands.
    """
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return Origin.EXTERNAL
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_loopback:
        return Origin.LOCAL
    return Origin.INTERNAL if mapped.is_private or mapped.is_link_local else Origin.EXTERNAL
