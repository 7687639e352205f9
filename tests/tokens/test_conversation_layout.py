"""What the layouts share."""

from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence, extend, label_counts


def test_an_extension_is_labelled_and_counted_as_a_turn() -> None:
    context = ConversationSequence([9, 1, 2, 9], [], [IGNORED, 1, 2, 9], 0, [(1, 3)])
    whole = extend(context, [5, 6, 9], [5, 6])
    assert (whole.input_ids, whole.labels) == ([9, 1, 2, 9, 5, 6, 9], [IGNORED, 1, 2, 9, 5, 6, 9])
    assert whole.spans == [(1, 3), (4, 6)]
    assert label_counts(whole) == [3, 3]
