"""Batches through transformers' GPT-2, against each row alone."""

from typing import Any, cast

import pytest
import torch
from transformers import GPT2LMHeadModel

from convmodel.generation.padded import ModelInput, generate_rows, score_rows
from tests.generation.helpers import END, config, contexts


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"repetition_penalty": 1.3}], ids=str)
def test_a_batch_of_rows_is_continued_like_each_row_alone(network: GPT2LMHeadModel, options: dict[str, Any]) -> None:
    rows = [ModelInput(ids, None) for ids in contexts(2, 9)]
    result = generate_rows(network, rows, config(**options))
    for row, [reply] in zip(rows, result, strict=True):
        ids = torch.tensor([row.input_ids])
        generate = cast(Any, network).generate
        whole = generate(ids, attention_mask=torch.ones_like(ids), generation_config=config(**options))[0].tolist()
        expected = whole[len(row.input_ids) :]
        assert reply == expected[: expected.index(END) if END in expected else None]


def test_likelihoods_equal_those_of_one_plain_pass(network: GPT2LMHeadModel) -> None:
    rows = [ModelInput(ids, None) for ids in contexts(4, 9) if len(ids) > 2]
    lengths = [max(1, len(row.input_ids) // 2) for row in rows]
    for row, length, result in zip(rows, lengths, score_rows(network, rows, lengths, pad_token_id=END), strict=True):
        with torch.no_grad():
            chances = network(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        positions = range(len(row.input_ids) - length, len(row.input_ids))
        assert result == pytest.approx(
            sum(float(chances[position - 1, row.input_ids[position]]) for position in positions), rel=1e-5
        )
