"""Words around numbers: signs, plurals, intervals and lists, of plain and of numpy's numbers."""

import numpy as np
import pytest

from ffreport.base import words

NAN = float("nan")


def test_a_minus_is_a_minus_sign_and_zero_has_a_sign_where_signs_are_shown():
    assert words.number(-1.25, ".1f") == "−1.2" and words.number(1.25, ".2f") == "1.25"
    assert [words.signed(x, ".1f") for x in (-2, 0.0, 2)] == ["−2.0", "+0.0", "+2.0"]


@pytest.mark.parametrize("one", [1, np.int64(1)])
def test_one_is_singular_and_none_or_several_are_plural(one):
    assert [words.count(n, "network") for n in (0 * one, one, 2 * one)] == [
        "0 networks", "1 network", "2 networks",
    ]  # fmt: skip


def test_an_interval_is_named_by_its_columns_and_nothing_where_there_is_none():
    row = {"low": -1.0, "high": 2.5, "d_low": NAN, "d_high": NAN, "e_low": 0.5, "e_high": 0.75}
    assert words.interval(row, ".1f") == " [−1.0, 2.5]"
    assert words.interval(row, ".2f", "e") == " [0.50, 0.75]"
    assert words.interval(row, ".2f", "d") == ""


def test_a_share_below_all_never_reads_as_all():
    assert words.percent(99.9996) == "99.999 %" and words.percent(100) == "100.000 %"
    assert words.percent(12.34567) == "12.35 %"


def test_small_p_values_are_below_a_bound():
    assert [words.p_value(p) for p in (9e-5, 1e-4, 0.034)] == ["< 0.0001", "= 0.0001", "= 0.034"]


def test_a_span_of_what_reads_the_same_is_one_number():
    assert words.span([3.0, 1.0, 2.0], ".0f") == "1 to 3"
    assert words.span([1.001, 1.002], ".2f") == "1.00"


def test_lists_in_sentences_and_in_lines():
    assert [words.listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert words.bullets(iter(["a", "b"])) == "- a\n- b"
    assert words.bullets([]) == "- Nothing was run." and words.bullets([], "None.") == "- None."


def test_a_configuration_is_its_factors_in_their_order():
    row = {"probability": "p", "norm": "n", "inhibition": "i", "activation": "a", "seed": "0",
           "aggregation": "g"}  # fmt: skip
    assert words.configuration(row) == "n-g-i-a-p"
