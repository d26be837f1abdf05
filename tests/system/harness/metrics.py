"""HTTP to the metrics address, and the samples as a mapping."""

import http.client

import promtext
from harness.wait import DEADLINE


def get(address, path, timeout=None):
    """(status, body) of one request."""
    connection = http.client.HTTPConnection(
        address.host, address.port, timeout=DEADLINE if timeout is None else timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Metrics:
    """The samples of one scrape, which the strict parser has accepted."""

    def __init__(self, text):
        self.families = promtext.parse(text)
        self.samples = {}
        for family in self.families.values():
            self.samples.update(family.samples)

    def matching(self, name, **labels):
        wanted = set(labels.items())
        return {key[1]: value for key, value in self.samples.items()
                if key[0] == name and wanted <= key[1]}

    def __call__(self, name, **labels):
        """The sum of the series of that name that carry all these labels; there must be one."""
        found = self.matching(name, **labels)
        assert found, f"no series {name} {labels}"
        return sum(found.values())

    def get(self, name, **labels):
        """The same, and 0 when there is none."""
        return sum(self.matching(name, **labels).values())

    def state(self, name, **labels):
        """The label `state` of the one series that is 1."""
        ones = [dict(key)["state"] for key, value in self.matching(name, **labels).items()
                if value == 1]
        assert len(ones) == 1, f"{name} {labels} is not in exactly one state: {ones}"
        return ones[0]
