"""Mined negatives, against ranking by brute force."""

from typing import Any, cast

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.selection_dataset import Ids, TokenisedChoice
from convmodel.training.mined_negatives import MinedNegatives, add_negatives, mine_negatives
from tests.conftest import MakeSelector

TEXTS = [
    ("Hello", "I am fine"),
    ("How are you?", "I am fine"),
    ("Where do you live?", "by the sea"),
    ("Do you like music?", "Yes"),
    ("I like the rain.", "No"),
    ("Yes", "Hello"),
]


class Examples:
    """Examples in memory, with the two methods of a `SelectionDataset` that mining uses."""

    def __init__(self, tokenizer: ConversationTokenizer) -> None:
        self.rows = [([tokenizer.encode(c)], tokenizer.encode(r)) for c, r in TEXTS]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: Any, *, distractors: int) -> list[TokenisedChoice]:
        return [TokenisedChoice(self.rows[i][0], [], self.rows[i][1], [], i) for i in indices]


def brute_force(selector: PolyEncoder, dataset: Examples, from_rank: int, count: int) -> list[list[Ids]]:
    """Rank every response for every context by the scores of texts."""
    responses = list(dict.fromkeys(response for _, response in TEXTS))
    expected = []
    for context, response in TEXTS:
        scores = selector.score([[context]], responses)[0].tolist()
        ranked = sorted(zip(scores, responses, strict=True), reverse=True)
        others = [text for _, text in ranked if text not in (response, context)]
        expected.append([selector.tokenizer.encode(text) for text in others[from_rank : from_rank + count]])
    return expected


@pytest.mark.parametrize(("from_rank", "count"), [(0, 2), (1, 1), (2, 9)])
def test_mining_returns_what_brute_force_returns(make_selector: MakeSelector, from_rank: int, count: int) -> None:
    selector = cast(PolyEncoder, make_selector(cast(Any, PolyEncoder), num_codes=3))
    selector.network.train()
    dataset = Examples(cast(ConversationTokenizer, selector.tokenizer))
    options = MinedNegatives(per_context=count, from_rank=from_rank)
    table = mine_negatives(selector, cast(Any, dataset), options)
    assert selector.network.training and table.shape == (len(TEXTS), count)
    examples = add_negatives(dataset.read(range(len(TEXTS)), distractors=0), table, cast(Any, dataset))
    assert [example.distractors for example in examples] == brute_force(selector, dataset, from_rank, count)


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"every_steps=0, per_context=2, from_rank=2; allowed are at least 1"):
        MinedNegatives(every_steps=0)
