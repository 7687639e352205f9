"""Order of generated replies: without duplicates, and by score if there is one."""

from convmodel.generation.request import Finish
from convmodel.models.conversation_inputs import rank_and_deduplicate
from convmodel.models.text_generation import GeneratedText


def written(text: str, finish: Finish = "end") -> GeneratedText:
    return GeneratedText(text, (1, 2), finish)


def test_without_scores_the_order_stays_and_a_repeated_text_is_left_out() -> None:
    replies = [written("b"), written("a"), written("b", "length"), written("")]
    assert rank_and_deduplicate(replies, None) == [(replies[0], None), (replies[1], None), (replies[3], None)]


def test_with_scores_the_best_comes_first_and_of_equal_texts_the_better_stays() -> None:
    replies = [written("a"), written("b"), written("a", "length"), written("c")]
    ranked = rank_and_deduplicate(replies, [-2.0, -1.0, -0.5, -1.0])
    assert ranked == [(replies[2], -0.5), (replies[1], -1.0), (replies[3], -1.0)]
