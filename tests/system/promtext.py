"""A strict parser of the Prometheus text format 0.0.4: raises FormatError on any violation.

Stricter than a scraper where a page of ours has to be: HELP and TYPE exactly once and before all
samples of the metric, which stand together; no series twice; labels without duplicates; counters
finite and not negative, with names that end in _total; histograms cumulative, with +Inf, _sum and
a _count that equals the last bucket.
"""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
HELP = re.compile(rf"# HELP ({NAME}) (.*)", re.DOTALL)
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)")
SAMPLE_NAME = re.compile(NAME)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"')
VALUE = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)|NaN")
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"\\": "\\", '"': '"', "n": "\n"}
PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


class FormatError(ValueError):
    """What is wrong with a page, and in which line."""


class Family:
    """One metric: its type and its samples, as {(name, frozenset of labels): value}."""

    def __init__(self, name, text):
        self.name = name
        self.help = text
        self.type = None
        self.samples = {}

    def names(self):
        return {self.name + part for part in PARTS.get(self.type, ("",))}


def unescape(text, allowed, where):
    def replace(match):
        if match[1] not in allowed:
            raise FormatError(f"{where}: no such escape: {match[0]!r}")
        return ESCAPES[match[1]]

    return ESCAPE.sub(replace, text)


def parse_labels(text, where):
    """The labels at the start of `text`, which begins after the brace, and what follows them."""
    labels = {}
    while not text.startswith("}"):
        match = LABEL.match(text)
        if match is None:
            raise FormatError(f"{where}: not a label: {text!r}")
        if match[1] in labels:
            raise FormatError(f"{where}: label {match[1]} twice")
        labels[match[1]] = unescape(match[2], '\\"n', where)
        text = text[match.end():]
        if text.startswith(","):
            text = text[1:]
        elif not text.startswith("}"):
            raise FormatError(f"{where}: a comma or a brace is missing: {text!r}")
    return labels, text[1:]


def parse_sample(line, where):
    """(name, labels, value) of a sample's line."""
    match = SAMPLE_NAME.match(line)
    if match is None:
        raise FormatError(f"{where}: not a sample: {line!r}")
    labels, rest = {}, line[match.end():]
    if rest.startswith("{"):
        labels, rest = parse_labels(rest[1:], where)
    if not rest.startswith(" ") or not VALUE.fullmatch(rest[1:]):
        raise FormatError(f"{where}: not a value: {rest!r}")
    return match[0], labels, float(rest[1:])


def check_values(family):
    for (name, _), value in family.samples.items():
        if family.type == "counter" and not (math.isfinite(value) and value >= 0):
            raise FormatError(f"{name}: a counter of {value}")
    if (family.type == "counter") != family.name.endswith("_total"):
        raise FormatError(f"{family.name}: a {family.type} with this name")


def check_histogram(family):
    """Each group of series that differs in nothing but `le`."""
    groups = {}
    for (name, labels), value in family.samples.items():
        rest = frozenset(label for label in labels if label[0] != "le")
        group = groups.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            if rest == labels:
                raise FormatError(f"{name}: a bucket without le")
            group["buckets"].append((float(dict(labels)["le"]), value))
        else:
            group[name[len(family.name):]] = value
    for labels, group in groups.items():
        where = f"{family.name} {dict(labels)}"
        bounds = [bound for bound, _ in group["buckets"]]
        counts = [count for _, count in group["buckets"]]
        if bounds != sorted(set(bounds)) or not bounds or bounds[-1] != math.inf:
            raise FormatError(f"{where}: bounds {bounds}")
        if counts != sorted(counts):
            raise FormatError(f"{where}: buckets are not cumulative: {counts}")
        if "_sum" not in group or group.get("_count") != counts[-1]:
            raise FormatError(f"{where}: sum or count: {group}")


class Page:
    """The parser; `families` by name, in the order of the page."""

    def __init__(self, text):
        self.families = {}
        self.current = None
        if not text.endswith("\n"):
            raise FormatError("the last line does not end")
        if "\r" in text or "\0" in text:
            raise FormatError("a control character")
        for number, line in enumerate(text[:-1].split("\n"), 1):
            self.take(line, f"line {number}")
        for family in self.families.values():
            if family.type is None:
                raise FormatError(f"{family.name}: TYPE is missing")
            check_values(family)
            if family.type == "histogram":
                check_histogram(family)

    def take(self, line, where):
        if line.startswith("#"):
            self.take_comment(line, where)
        else:
            self.take_sample(line, where)

    def take_comment(self, line, where):
        text, kind = HELP.fullmatch(line), TYPE.fullmatch(line)
        if text is not None:
            if text[1] in self.families:
                raise FormatError(f"{where}: HELP of {text[1]} twice")
            self.current = Family(text[1], unescape(text[2], "\\n", where))
            self.families[text[1]] = self.current
        elif kind is not None:
            if self.current is None or kind[1] != self.current.name or self.current.type:
                raise FormatError(f"{where}: TYPE does not follow its HELP")
            self.current.type = kind[2]
        else:
            raise FormatError(f"{where}: neither HELP nor TYPE: {line!r}")

    def take_sample(self, line, where):
        name, labels, value = parse_sample(line, where)
        if self.current is None or self.current.type is None or name not in self.current.names():
            raise FormatError(f"{where}: {name} stands outside its metric")
        key = (name, frozenset(labels.items()))
        if key in self.current.samples:
            raise FormatError(f"{where}: a series twice: {line!r}")
        self.current.samples[key] = value


def parse(text):
    """{name: Family} of a page, or FormatError."""
    return Page(text).families


def check_monotonic(before, after):
    """Counters and the parts of histograms never go back between two scrapes."""
    for name, family in before.items():
        if family.type not in ("counter", "histogram") or name not in after:
            continue
        for key, value in family.samples.items():
            now = after[name].samples.get(key)
            if now is not None and now < value:
                raise FormatError(f"{key[0]} {dict(key[1])} went back from {value} to {now}")
