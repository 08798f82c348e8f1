"""How instruments share the time that watching may take."""

from __future__ import annotations

from collections.abc import Mapping


def fair_shares(demands: Mapping[str, float], overhead: float) -> dict[str, float]:
    """Parts of the training time, which add up to `overhead`, for instruments that ask for the given parts of it.

    Whoever asks for less than an equal part of what is left gets all it asks for; the others get equal parts of the
    rest, so that a dear instrument never crowds out a cheap one. What nobody asks for is given to all in proportion.
    """
    shares: dict[str, float] = {}
    left = overhead
    for number, name in enumerate(sorted(demands, key=demands.__getitem__)):
        shares[name] = min(demands[name], left / (len(demands) - number))
        left -= shares[name]
    total = sum(shares.values())
    if total == 0:
        return {name: overhead / len(demands) for name in demands}
    return {name: share / total * overhead for name, share in shares.items()}
