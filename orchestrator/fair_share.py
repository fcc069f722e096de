"""Which replica looks after which target: equal shares that move little when replicas come and go.

Rendezvous hashing with a bounded load: each replica bids for each target with a hash of both, and
the highest bids win until a replica has its share. Every replica computes the same from the same
names, without asking anybody; where their views differ for a while, the leases decide. Sources:
Thaler and Ravishankar, Using name-based mappings to increase hit rates (1998); Mirrokni, Thorup and
Zadimoghaddam, Consistent hashing with bounded loads (2018).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def shares(targets: Iterable[str], replicas: Iterable[str]) -> dict[str, str]:
    """Target -> replica; no replica has more than one target above another. Without replicas,
    nobody has any."""
    wanted, bidders = sorted(set(targets)), sorted(set(replicas))
    if not bidders:
        return {}
    least, above = divmod(len(wanted), len(bidders))
    bids = sorted(((_bid(t, r), t, r) for t in wanted for r in bidders), reverse=True)
    load = dict.fromkeys(bidders, 0)
    found: dict[str, str] = {}
    for _, target, replica in bids:
        if target in found or load[replica] > least or (load[replica] == least and not above):
            continue
        above -= load[replica] == least
        found[target] = replica
        load[replica] += 1
    return found


def _bid(target: str, replica: str) -> bytes:
    return blake2b(f"{replica}\n{target}".encode(), digest_size=8).digest()
