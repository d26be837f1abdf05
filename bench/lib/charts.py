"""Charts as SVG text. Pure: numbers in, text out. Colours are classes, which the page's style sheet
gives for light and dark."""
import html
import math

ROW = 22
LABEL = 150
WIDTH = 460
VALUE = 92


def text(x, y, words, kind="", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
        f"{html.escape(str(words))}</text>")


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def svg(width, height, parts, title):
    return (f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{html.escape(title)}"><title>{html.escape(title)}</title>'
        f'{"".join(parts)}</svg>')


def bars(title, rows, digits):
    """Horizontal bars from 0 with their intervals: rows of (label, summary or None, kind)."""
    known = [summary for _, summary, _ in rows if summary]
    if not known:
        return ""
    # An interval may be wide in a rough run: it must not shrink the bars to nothing.
    top = max(max(summary["median"] for summary in known) * 1.25,
        min(max(summary["high"] for summary in known),
            max(summary["median"] for summary in known) * 2), 1e-9)
    plot = WIDTH - LABEL - VALUE

    def x(value):
        return LABEL + max(0.0, min(value, top)) / top * plot
    parts = [text(0, 13, title, "axis")]
    for number, (label, summary, kind) in enumerate(rows):
        y = 22 + number * ROW
        parts.append(text(LABEL - 8, y + 14, label, "label " + kind, "end"))
        if summary is None:
            parts.append(text(LABEL + 2, y + 14, "failed", "failed"))
            continue
        end = x(summary["median"])
        parts.append(f'<rect x="{LABEL}" y="{y + 3}" width="{max(end - LABEL, 1):.1f}" '
            f'height="{ROW - 8}" rx="2" class="bar {kind}"/>')
        if summary["rounds"] > 1:
            low, high, middle = x(summary["low"]), x(summary["high"]), y + ROW / 2 - 1
            parts.append(line(low, middle, high, middle, "whisker"))
            parts += [line(at, middle - 4, at, middle + 4, "whisker") for at in (low, high)]
        parts.append(text(WIDTH, y + 14, f"{summary['median']:,.{digits}f}", "value " + kind,
            "end"))
    return svg(WIDTH, 26 + len(rows) * ROW, parts, title)


CLASSES = {"met": "good", "met (interval)": "fair", "met (wide interval)": "fair",
    "not met": "poor", "no data": "none"}


def position(value, limit, lower):
    """Where a result stands on a scale where its limit is 0 and right is better: powers of two.
    What is beyond an end of the scale, as 0 and less are, stands on that end."""
    if value <= 0 or math.isinf(value):
        return 3.0 if lower == (value <= 0) else -2.0
    if limit <= 0:
        return -2.0 if lower else 3.0
    ratio = limit / value if lower else value / limit
    return max(-2.0, min(3.0, math.log2(ratio)))


def scoreboard(judged):
    """One row for each bar: its interval against its limit, all on one scale."""
    label, plot, right = 320, 360, 250
    height = 34 + len(judged) * ROW

    def x(at):
        return label + (at + 2) / 5 * plot
    parts = [text(x(0), 12, "limit", "axis", "middle"), text(x(-2), 12, "4 x worse", "axis"),
        text(x(3), 12, "8 x better", "axis", "end")]
    parts += [line(x(at), 18, x(at), height - 8, "limit" if at == 0 else "grid")
        for at in range(-2, 4)]
    for number, bar in enumerate(judged):
        y = 22 + number * ROW
        kind = CLASSES[bar["verdict"]]
        parts.append(text(label - 12, y + 15, bar["title"], "label", "end"))
        result = bar["result"]
        if result:
            low, high, middle = (x(position(result[key], bar["limit"], bar["lower"]))
                for key in ("low", "high", "median"))
            parts.append(line(low, y + 11, high, y + 11, "interval " + kind))
            # A cost of 0 or less is not so many times better: it has its figure, but no dot.
            if result["median"] > 0 or not bar["lower"]:
                parts.append(f'<circle cx="{middle:.1f}" cy="{y + 11}" r="4.5" '
                    f'class="dot {kind}"/>')
            digits = 0 if bar["limit"] > 100 else 1 if bar["limit"] > 10 else 3
            sign = "\u2264" if bar["lower"] else "\u2265"
            parts.append(text(label + plot + 12, y + 15,
                f"{result['median']:,.{digits}f}  {sign} {bar['limit']:,g}", "value"))
        parts.append(text(label + plot + right, y + 15, bar["verdict"], "verdict " + kind, "end"))
    return svg(label + plot + right, height, parts, "what Loble wants to reach, and what it did")
