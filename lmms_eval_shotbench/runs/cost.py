"""What the responses of a run cost: tokens, time and money, as `cost` of scores.json (docs/scores.md).

Every number is a sum over the responses whose own number is known, with the number of those: a run that was resumed
from responses without times, or a backend that reports no tokens, gives sums over some of them, never estimates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lmms_eval_shotbench.runs.stored_response import StoredResponse

AMOUNTS = ("input_tokens", "output_tokens", "seconds", "wall_seconds")
PER = 1_000_000  # tokens that a price is for


class Prices(NamedTuple):
    """Prices of a million tokens."""

    input: float
    output: float
    currency: str = "USD"


def cost_json(responses: Iterable[StoredResponse], prices: Prices | None = None) -> dict[str, Any] | None:
    """Return `cost` of scores.json; None if nothing is known about any response, and no price is given."""
    answered = [one for one in responses if not one.unanswered]
    found: dict[str, Any] = {"responses": len(answered)}
    for name in AMOUNTS:
        known = [value for one in answered if (value := getattr(one, name)) is not None]
        found[name] = _total(sum(known), len(known))
    found["tokens_counted"] = sum(one.tokens_counted for one in answered)
    wall = found["wall_seconds"]
    found["responses_per_second"] = wall["known"] / wall["total"] if wall["total"] else None
    if prices is None:
        return found if any(found[name]["known"] for name in AMOUNTS) else None
    return with_prices(found, prices)


def with_prices(cost: Mapping[str, Any], prices: Prices) -> dict[str, Any]:
    """Return a cost with its money at these prices; null unless as many input as output tokens are known."""
    tokens = cost["input_tokens"], cost["output_tokens"]
    known = tokens[0]["known"] if tokens[0]["known"] == tokens[1]["known"] else 0
    money = ((tokens[0]["total"] or 0) * prices.input + (tokens[1]["total"] or 0) * prices.output) / PER
    return {**cost, "money": {**_total(money, known), "prices": prices._asdict()}}


def _total(total: float, known: int) -> dict[str, Any]:
    """Return sum, mean and number of known amounts; sum and mean are null if there are none."""
    return {"total": _rounded(total), "mean": _rounded(total / known), "known": known} if known else dict(_UNKNOWN)


_UNKNOWN = {"total": None, "mean": None, "known": 0}


def _rounded(value: float) -> float:
    """Round away the error of a sum of floats."""
    return value if isinstance(value, int) else round(value, 9)


def cost_line(cost: Mapping[str, Any] | None) -> str:
    """Describe a cost in one line of a table; "" if nothing is known."""
    if cost is None:
        return ""
    parts = []
    if cost["input_tokens"]["known"] or cost["output_tokens"]["known"]:
        counted = " (counted)" if cost.get("tokens_counted") else ""
        tokens = " in and ".join(_mean(cost[name], ",.0f") for name in ("input_tokens", "output_tokens"))
        parts.append(f"{tokens} out tokens a response{counted}{_of(cost, 'input_tokens', 'output_tokens')}")
    else:
        parts.append("tokens unknown")
    if cost["seconds"]["known"]:
        total, mean = clock(cost["seconds"]["total"]), _mean(cost["seconds"], ".3g")
        parts.append(f"{mean} s a response, {total} of the model{_of(cost, 'seconds')}")
    if rate := cost.get("responses_per_second"):
        total = clock(cost["wall_seconds"]["total"])
        parts.append(f"{rate:.3g} responses a second, {total} wall time{_of(cost, 'wall_seconds')}")
    if money := cost.get("money"):
        parts.append(f"{money_text(money)}{_of(cost, 'money')}" if money["known"] else "price unknown, as tokens are")
    return f"cost: {'; '.join(parts)}"


def money_text(money: Mapping[str, Any]) -> str:
    """Format a sum of money with its currency."""
    return f"{money['prices']['currency']} {money['total']:{',.2f' if money['total'] >= 1 else '.3g'}}"


def clock(seconds: float) -> str:
    """Format a time as hours, minutes and seconds; below a minute as seconds."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _mean(total: Mapping[str, Any], form: str) -> str:
    return f"{total['mean']:{form}}" if total["known"] else "unknown"


def _of(cost: Mapping[str, Any], *names: str) -> str:
    """State how many responses an amount is of, unless it is of all."""
    fewest = min((cost[name]["known"] for name in names if cost[name]["known"]), default=0)
    return "" if fewest == cost["responses"] else f" (of {fewest:,} of {cost['responses']:,} responses)"
