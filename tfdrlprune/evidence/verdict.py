"""What the gate says: of each claim, and of the candidate; and of several candidates in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tfdrlprune.evidence.bounds import Bounds
from tfdrlprune.evidence.claims import Claim

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"


@dataclass(frozen=True)
class Ruling:
    """What the gate says of one claim.

    Attributes:
        name: ``"return"``, ``"failure rate"`` or ``"CVaR 10 %"``.
        verdict: of the claim alone.
        observed: mean of candidate minus baseline, rate of failures, or CVaR, over all episodes.
        limit: that it is held against: minus the margin in units of the return, or as asked.
        decided_after: episodes that it took; None while inconclusive.
        e_pro: capital won against the claim's opposite when it was decided, or by now; its
            reciprocal bounds a p-value.
        e_contra: capital won against the claim, likewise.
    """

    name: str
    verdict: str
    observed: float
    limit: float
    decided_after: int | None
    e_pro: float
    e_contra: float


@dataclass(frozen=True)
class Verdict:
    """What the gate says, with all that it rests on.

    Attributes:
        verdict: ``"PASS"`` if all claims are shown, ``"FAIL"`` if one is refuted, else
            ``"INCONCLUSIVE"``.
        margin: the relative loss that is allowed; None where it was set as a return.
        margin_return: the loss allowed in units of the return, by the baseline's mean over these
            episodes where it is relative.
        confidence: one minus the probability of a wrong PASS, and of a wrong FAIL.
        episodes: pairs of episodes that were given.
        decided_after: how many of them it took; None while inconclusive.
        difference: mean of candidate minus baseline, over all pairs.
        ci_low: lower confidence bound of that mean, valid at any time, in units of the return.
        episodes_needed: while inconclusive, about how many more pairs would decide; None if
            these do not tell.
        bounds: what every return must lie in.
        floor: what losses are measured from; None for zero.
        rulings: of each claim, that on the return first.
        message: one line for people.
    """

    verdict: str
    margin: float | None
    margin_return: float
    confidence: float
    episodes: int
    decided_after: int | None
    difference: float
    ci_low: float
    episodes_needed: int | None
    bounds: Bounds
    floor: float | None
    rulings: tuple[Ruling, ...]
    message: str

    def to_json(self) -> dict[str, Any]:
        """Returns the verdict as JSON values."""
        rulings = [asdict(ruling) for ruling in self.rulings]
        return {**asdict(self), "bounds": list(self.bounds), "rulings": rulings}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Verdict:
        """Returns what `to_json` wrote.

        Raises:
            KeyError, TypeError: something is missing or of another kind.
        """
        low, high = values["bounds"]
        rulings = tuple(Ruling(**each) for each in values["rulings"])
        return Verdict(**{**values, "bounds": (low, high), "rulings": rulings})


def accepted_in_order(verdicts: Mapping[str, str | None]) -> list[str]:
    """Returns the names of the candidates that are accepted, of several that one is chosen from.

    Candidates are tested in an order fixed before any of them was judged, and testing ends at the
    first that does not pass: so the probability that any worse one is accepted is still at most
    ``1 - confidence``, however many there are (fixed-sequence procedure; Maurer, Hothorn and
    Lehmacher 1995). Whoever takes the best of several verdicts that were not ordered has no such
    promise.

    Args:
        verdicts: name -> verdict, in that order.

    Example:
        >>> accepted_in_order({"pruned": "PASS", "float16": "PASS", "int8": "FAIL", "tiny": "PASS"})
        ['pruned', 'float16']
    """
    accepted = []
    for name, verdict in verdicts.items():
        if verdict != PASS:
            break
        accepted.append(name)
    return accepted


def message(
    verdict: str,
    made: Sequence[Claim],
    rulings: Sequence[Ruling],
    confidence: float,
    episodes: int,
    decided_after: int | None,
    more: int | None,
) -> str:
    """Returns a verdict as one line for people."""
    facts = f"difference {made[0].observed:+.4g} over {episodes} paired episodes"
    both = list(zip(made, rulings, strict=True))
    if verdict == INCONCLUSIVE:
        wait = f"about {more} more should decide" if more else "they do not tell how many would"
        undecided = [claim.shown for claim, ruling in both if ruling.verdict == INCONCLUSIVE]
        return f"INCONCLUSIVE: {facts} cannot decide whether it is {'; '.join(undecided)}; {wait}."
    said = (
        [claim.shown for claim in made]
        if verdict == PASS
        else [claim.refuted for claim, ruling in both if ruling.verdict == FAIL]
    )
    return (
        f"{verdict}: {'; '.join(said)}; with confidence {confidence:g} ({facts}, decided after "
        f"{decided_after})."
    )
