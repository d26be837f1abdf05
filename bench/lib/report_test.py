#!/usr/bin/env python3
"""Unit tests of what is made from results: bars, text, page."""
import pathlib
import sys
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import bars, charts, peers, process, report, table  # noqa: E402
from lib import workloads  # noqa: E402


def results(**churn):
    """Of a run of three rounds with one workload: columns of the metric "cpu"."""
    found = {
        "seed": 1, "rounds": 3, "quick": False, "started": "now", "seconds": 9,
        "load_average_at_end": "0", "failed": {},
        "figures": {"churn": {name: [value and {"cpu": value, "rate": 1000 / value}
            for value in values] for name, values in churn.items()}},
        "machine": {"cpu": "a <fast> one", "cpus": 2, "virtual": True, "memory_mib": 1,
            "kernel": "6", "congestion_control": "reno", "real_time": True,
            "transparent_hugepages": "always", "network": {"net/a": "1"}, "load_average_at_start": "0",
            "mitigations": {}, "versions": {"loble": "loble 1", "commit": "abc"}},
    }
    found["bars"] = bars.judge(found)
    return found


class Bars(unittest.TestCase):
    def churn_bar(self, **columns):
        return next(bar for bar in results(**columns)["bars"] if bar["workload"] == "churn")

    def test_the_best_peer_of_the_run_counts(self):
        columns = {"loble": [8, 8, 8], "haproxy": [10, 20, 10], "nginx": [20, 4, 16]}
        bar = self.churn_bar(**columns)
        self.assertEqual(0.8, bar["result"]["median"])
        self.assertEqual("met", bar["verdict"])
        each = bars.ratio(results(**columns), "churn", "cpu", "best of each round")
        self.assertEqual(2.0, each["high"])

    def test_pen_and_direct_are_no_rivals(self):
        bar = self.churn_bar(loble=[8, 8, 8], haproxy=[10, 10, 10], pen=[1, 1, 1],
            direct=[1, 1, 1])
        self.assertEqual(0.8, bar["result"]["median"])

    def test_a_failure_of_loble_is_never_a_success(self):
        found = results(loble=[8, None, 8], haproxy=[10, 10, 10])
        found["failed"] = {"churn": {"loble": ["lost a byte"]}}
        self.assertEqual({"not met"}, {bar["verdict"] for bar in bars.judge(found)})

    def test_a_best_of_some_is_called_so(self):
        self.assertIn("peers left out", self.churn_bar(loble=[8], haproxy=[10])["title"])
        found = results()
        found["figures"]["churn"] = {name: [{"cpu": 10}] for name in peers.PEERS}
        self.assertNotIn("left out", str(bars.judge(found)))

    def test_who_was_never_meant_to_run_is_not_left_out(self):
        found = results()
        row = workloads.WORKLOADS["download-1"]
        found["figures"] = {"download-1": {name: [{"cpu": 10, "rate": 1}] for name in row.peers}}
        self.assertNotIn("left out", str(bars.judge(found)))

    def test_what_may_freeze_connections_is_no_rival(self):
        bar = self.churn_bar(**{"loble": [8, 8, 8], "haproxy": [10, 10, 10],
            "haproxy-edge": [1, 1, 1]})
        self.assertEqual(0.8, bar["result"]["median"])

    def test_what_was_not_run_is_not_judged(self):
        self.assertEqual({"churn"},
            {bar["workload"] for bar in results(loble=[1], haproxy=[1])["bars"]})

    def test_every_bar_names_a_metric_of_its_workload(self):
        for bar in bars.BARS:
            metric = workloads.WORKLOADS[bar.workload].metrics[bar.metric]
            self.assertIn(bar.against, ["", *bars.AGAINST])
            self.assertEqual(bar.lower, metric.lower, bar.title)


class Workloads(unittest.TestCase):
    def names(self, *words):
        return [row.name for row in workloads.chosen(words)]

    def test_they_are_chosen_by_name_and_group(self):
        self.assertEqual(["churn", "download-1", "download-8", "upload-1", "upload-8"],
            self.names("churn", "bulk"))
        self.assertTrue(all(name.endswith("-2w") for name in self.names("two")))
        self.assertEqual(list(workloads.WORKLOADS), self.names("all"))

    def test_an_unknown_name_lists_the_known_ones(self):
        with self.assertRaisesRegex(SystemExit, "pingpong-64"):
            self.names("pigpong")

    def test_latency_is_added_to_that_of_the_same_round(self):
        columns = {"loble": [None, {"p50": 9, "p99": 19, "p999": 29}],
            "direct": [{"p50": 100, "p99": 100, "p999": 100}, {"p50": 4, "p99": 5, "p999": 6}]}
        workloads.add_over_direct(columns, 1)
        self.assertEqual([5, 14, 23],
            [columns["loble"][1]["added_" + name] for name in ("p50", "p99", "p999")])


class Text(unittest.TestCase):
    def test_a_failed_round_is_told(self):
        found = results(loble=[8, 8, 8], pen=[None, None, None])
        found["failed"] = {"churn": {"pen": ["cut it\nwith more"] * 3}}
        text = "\n".join(table.of_all(found))
        self.assertIn("pen: failed in 3 of the rounds: cut it", text)
        self.assertNotIn("with more", text)

    def test_the_telling_line_of_a_failure_is_shown(self):
        self.assertEqual("[ALERT] in use", process.telling("a ended: [NOTICE]\n[ALERT] in use\nb"))
        self.assertEqual("a", process.telling("a\nb"))

    def test_a_machine_that_was_not_ours_is_told(self):
        found = results(loble=[8, 8, 8])
        self.assertEqual("", table.warning(found))
        for figures in found["figures"]["churn"]["loble"]:
            figures["others"] = 30
        self.assertIn("up to 30 % of the machine", table.warning(found))
        self.assertIn("took 30 %", "\n".join(table.of_all(found)))
        self.assertIn("up to 30 %", report.of_all(found))


    def test_it_begins_with_what_was_compared(self):
        text = next(iter(table.of_all(results(loble=[8, 8, 8]))))
        self.assertIn("commit abc: loble 1", text)

    def test_a_few_rounds_are_called_so(self):
        found = results(loble=[8, 8, 8])
        self.assertIn("less than 95 %", "\n".join(table.of_all(found)))
        found["rounds"] = 9
        self.assertNotIn("less than 95 %", "\n".join(table.of_all(found)))


class Page(unittest.TestCase):
    def test_charts_are_well_formed(self):
        summary = {"median": 2.0, "low": 1.0, "high": 40.0, "rounds": 9}
        chart = charts.bars("a < b", [("x & y", summary, "ours"), ("z", None, "")], 1)
        root = xml.etree.ElementTree.fromstring(chart)
        width = float(root.get("width"))
        for element in root.iter("line"):
            self.assertLessEqual(float(element.get("x2")), width)

    def test_a_limit_that_is_just_reached_stands_on_its_line(self):
        self.assertEqual(0, charts.position(0.88, 0.88, True))
        self.assertEqual(1, charts.position(0.44, 0.88, True))
        self.assertEqual(-1, charts.position(0.8, 1.6, False))
        self.assertEqual(-2, charts.position(1e9, 1, True))

    def test_of_a_limit_of_0_there_are_no_multiples(self):
        self.assertEqual([3, -2], [charts.position(0, 0, True), charts.position(1, 0, True)])

    def test_what_no_multiple_stands_for_stays_inside_and_has_no_dot(self):
        self.assertEqual([3, 3, -2, -2], [charts.position(0, 1, True),
            charts.position(-1, 1, True), charts.position(0, 1, False),
            charts.position(float("inf"), 1, True)])

        def dots(median):
            return charts.scoreboard([{"title": "added", "verdict": "met", "limit": 0.9,
                "lower": True, "result": {"median": median, "low": -1, "high": 0.5}}]).count(
                    "<circle")
        self.assertEqual([0, 0, 1], [dots(-0.1), dots(0), dots(0.1)])

    def test_the_page_holds_all_and_loads_nothing(self):
        page = report.of_all(results(loble=[8, 8, 8], haproxy=[10, 10, 11]))
        self.assertIn("a &lt;fast&gt; one", page)
        self.assertIn("0.80", page)
        for word in ("http:", "https:", "<script", "<link", "@import", "url("):
            self.assertNotIn(word, page)


if __name__ == "__main__":
    unittest.main()
