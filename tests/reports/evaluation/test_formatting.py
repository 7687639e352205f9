"""Number formats of the evaluation report."""

from convmodel.reports.evaluation.formatting import bounds, number, signed


def test_numbers_are_written_with_the_digits_that_say_something() -> None:
    assert [number(value) for value in (0.1234, 12.345, 123.45, 12345.6, 1234567.0, 0.0)] == [
        *("0.123", "12.35", "123.5", "12,346", "1.2e+06", "0.000")
    ]
    assert (number(None), signed(None), bounds(None, None)) == ("–", "–", "–")
    assert [signed(value) for value in (0.5, -0.5, 0.0)] == ["+0.500", "−0.500", "±0.000"]
    assert bounds(-1.0, 2.0) == "−1.000 to 2.000" and bounds(1.0, None) == "1.000 to –"
