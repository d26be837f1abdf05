"""Medians, their intervals, and ratios by round. Pure: numbers in, numbers out."""
import math
import statistics

CONFIDENCE = 0.95


def coverage(count, rank):
    """How often the median lies between the rank-th smallest and the rank-th largest of `count`
    values, whatever their distribution is."""
    tail = sum(math.comb(count, below) for below in range(rank)) / 2 ** count
    return 1 - 2 * tail


def interval(values, confidence=CONFIDENCE):
    """The narrowest pair of order statistics that holds the median with this confidence. Of fewer
    than six values there is none for 95 %: then it is the smallest and the largest."""
    ordered = sorted(values)
    count = len(ordered)
    rank = 1
    while rank < (count + 1) // 2 and coverage(count, rank + 1) >= confidence:
        rank += 1
    return ordered[rank - 1], ordered[count - rank]


def summary(values):
    """Median, interval and count of what is there; None when nothing is."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    low, high = interval(values)
    return {"median": statistics.median(values), "low": low, "high": high, "rounds": len(values)}


def best_in_median(columns, lower_is_better):
    """Of several lists of one value for each round: the list with the best median; None when none
    has values in half of its rounds."""
    whole = [values for values in columns
        if 2 * sum(value is not None for value in values) >= max(1, len(values))]
    return (min if lower_is_better else max)(whole, default=None,
        key=lambda values: statistics.median([value for value in values if value is not None]))


def best_of(columns, lower_is_better):
    """Of several lists of one value for each round: the best value of each round."""
    best = []
    for values in zip(*columns):
        values = [value for value in values if value is not None]
        best.append((min if lower_is_better else max)(values) if values else None)
    return best


def ratios(ours, theirs):
    """Round by round. A round that is missing on a side has none. Differences may be 0 or less:
    where theirs is and ours is not, ours is infinitely more; where both are, there is no telling;
    where only ours is, so is the ratio. A round that we have failed is infinitely bad, so it is
    dropped only by whoever counts failures."""
    def ratio(mine, other):
        if mine is None or other is None or max(mine, other) <= 0:
            return None
        return mine / other if other > 0 else math.inf
    return [ratio(mine, other) for mine, other in zip(ours, theirs)]


def verdict(result, limit, lower_is_better):
    """met: all of the interval is on the good side of the limit. met (interval): it reaches the
    limit, but not all of it is on the good side. Where its ends are further apart than a factor of
    2, that says little, and so does the verdict: met (wide interval)."""
    if result is None:
        return "no data"
    near, far = (result["low"], result["high"]) if lower_is_better else \
        (result["high"], result["low"])

    def good(value):
        return value <= limit if lower_is_better else value >= limit
    if good(far):
        return "met"
    if good(near):
        return "met (interval)" if 0 < result["high"] <= 2 * result["low"] else \
            "met (wide interval)"
    return "not met"
