"""What the platform sells: how much better an offered price is than the fair one."""

from typing import Any

from db import get_supabase


def fair_probability(prices: list[float]) -> float:
    """The probability of the first outcome, with the bookmaker's margin taken out of the prices."""
    shares = [1 / price for price in prices]
    return shares[0] / sum(shares)


def load_edges() -> list[dict[str, Any]]:
    """All offers with their edge, the best first."""
    offers = get_supabase().table("offers").select("event,offered,market").limit(100).execute()
    edges = [
        {
            "event": offer["event"],
            "offered": offer["offered"],
            "edge": round(offer["offered"] * fair_probability(offer["market"]) - 1, 4),
        }
        for offer in offers
    ]
    return sorted(edges, key=lambda row: row["edge"], reverse=True)
