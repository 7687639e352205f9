"""Limits of documents, and the layout of one window."""

import pytest

from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.document_layout import DocumentLimits, lay_out_document

SEP = 0


def test_a_prompt_has_no_end_separator() -> None:
    row = lay_out_document([7], [1, 2], SEP, predict_from=2, ends=False)
    assert (row.input_ids.tolist(), set(row.labels.tolist())) == ([0, 7, 0, 1, 2], {IGNORED})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_length": 66},
            "has room for 64 tokens of the body, and overlap=64 of them are repeated.*overlap below 64",
        ),
        ({"max_length": 2, "overlap": 0}, "has room for 0 tokens of the body, .*; use a larger max_length$"),
        ({"max_length": 99, "max_body_length": 8, "overlap": 8}, "an overlap below 8, a larger max_body_length, or a"),
        ({"max_length": 99, "overlap": -1}, "overlap=-1; give 0 for none, or more"),
        ({"max_length": 99, "max_body_length": 0}, "max_body_length=0; give 1 or more, or null"),
        ({"max_length": 99, "max_meta_length": -1}, "max_meta_length=-1; 0 leaves metas out"),
    ],
)
def test_limits_that_leave_no_room_are_an_error_with_the_remedy(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DocumentLimits(**options)
