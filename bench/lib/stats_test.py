#!/usr/bin/env python3
"""Unit tests of stats.py."""
import math
import pathlib
import random
import statistics
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import stats  # noqa: E402


class Interval(unittest.TestCase):
    def test_known_ranks(self):
        # The table of every textbook: 9 values take the 2nd and the 8th, 20 the 6th and the 15th.
        self.assertEqual((2, 8), stats.interval(range(1, 10)))
        self.assertEqual((1, 6), stats.interval(range(1, 7)))
        self.assertEqual((6, 15), stats.interval(range(1, 21)))

    def test_few_values_give_their_range(self):
        self.assertEqual((4, 4), stats.interval([4]))
        self.assertEqual((1, 3), stats.interval([3, 1, 2]))

    def test_coverage_of_nine(self):
        self.assertAlmostEqual(0.9609, stats.coverage(9, 2), 4)

    def test_it_holds_the_true_median_as_often_as_it_says(self):
        source = random.Random(1)
        hits = 0
        for _ in range(2000):
            low, high = stats.interval([source.expovariate(1) for _ in range(9)])
            hits += low <= 0.6931 <= high
        self.assertGreater(hits, 0.945 * 2000)
        self.assertLess(hits, 0.975 * 2000)

    def test_it_surrounds_the_median(self):
        source = random.Random(2)
        for count in range(1, 40):
            values = [source.random() for _ in range(count)]
            low, high = stats.interval(values)
            self.assertLessEqual(low, statistics.median(values))
            self.assertGreaterEqual(high, statistics.median(values))


class Ratios(unittest.TestCase):
    def test_the_best_is_looked_for_in_each_round(self):
        self.assertEqual([1, 2, 5], stats.best_of([[1, 4, None], [3, 2, 5]], True))
        self.assertEqual([3, 4, 5], stats.best_of([[1, 4, None], [3, 2, 5]], False))
        self.assertEqual([None], stats.best_of([[None], [None]], True))

    def test_the_best_of_a_run_has_the_best_median(self):
        steady, lucky, failed = [5, 5, 5], [1, 6, 6], [1, None, None]
        self.assertIs(steady, stats.best_in_median([lucky, steady, failed], True))
        self.assertIs(lucky, stats.best_in_median([lucky, steady, failed], False))
        self.assertIsNone(stats.best_in_median([failed, []], True))

    def test_rounds_are_kept_apart(self):
        self.assertEqual([0.5, 2.0], stats.ratios([1, 4], [2, 2]))
        self.assertEqual([None, None], stats.ratios([1, None], [None, 1]))

    def test_differences_that_are_not_above_0(self):
        self.assertEqual([math.inf, math.inf, None, -0.5, 0],
            stats.ratios([1, 1, -1, -1, 0], [-2, 0, -2, 2, 2]))

    def test_summary_leaves_out_what_is_missing(self):
        self.assertEqual({"median": 2, "low": 1, "high": 3, "rounds": 3},
            stats.summary([3, None, 1, 2]))
        self.assertIsNone(stats.summary([None]))


class Verdict(unittest.TestCase):
    def test_lower_is_better(self):
        result = {"median": 0.9, "low": 0.85, "high": 0.95}
        self.assertEqual("met", stats.verdict(result, 0.95, True))
        self.assertEqual("met (interval)", stats.verdict(result, 0.88, True))
        self.assertEqual("not met", stats.verdict(result, 0.84, True))

    def test_higher_is_better(self):
        result = {"median": 1.6, "low": 1.5, "high": 1.7}
        self.assertEqual("met", stats.verdict(result, 1.5, False))
        self.assertEqual("met (interval)", stats.verdict(result, 1.65, False))
        self.assertEqual("not met", stats.verdict(result, 1.8, False))

    def test_an_interval_that_says_little_is_called_wide(self):
        for low, high in ((0.4, 0.95), (-1, 0.95), (0, 0.95), (0.85, math.inf)):
            result = {"median": 0.9, "low": low, "high": high}
            self.assertEqual("met (wide interval)", stats.verdict(result, 0.88, True))

    def test_nothing_measured_is_nothing_met(self):
        self.assertEqual("no data", stats.verdict(None, 1, True))


if __name__ == "__main__":
    unittest.main()
