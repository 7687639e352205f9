"""Ranking metrics of a validation."""

import math
from dataclasses import replace

import pytest
import torch

pytest.importorskip("pytorch_lightning")

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.datamodules.selection import SelectionBatch
from tests.training.test_selection_objectives import CONTEXTS, RESPONSES, examples, module

pytestmark = pytest.mark.machine


def test_responses_are_ranked_in_their_pools_and_ties_count_against_the_model(
    tokenizer: ConversationTokenizer,
) -> None:
    trained = module(tokenizer)
    trained.network.eval()
    trained.on_validation_epoch_start()
    pools = [
        replace(
            example, distractors=[other.response for other in examples(tokenizer) if other.response != example.response]
        )
        for example in examples(tokenizer)
    ]
    trained.validation_step(SelectionBatch(pools, pool=5), 0)
    ranks = []
    scores = trained.selector.score([[c] for c in CONTEXTS], RESPONSES)
    for n, row in enumerate(scores.tolist()):
        others = [score for score, text in zip(row, RESPONSES, strict=True) if text != RESPONSES[n]]
        ranks.append(1 + sum(score >= row[n] for score in others))
    assert trained._sums.examples == 5 and trained._sums.first == sum(example == 1 for example in ranks)
    assert trained._sums.reciprocal == pytest.approx(sum(1 / example for example in ranks))
    assert len(trained._samples) == 3 and trained._samples[0][0] == ["Hello"]

    trained.on_validation_epoch_start()
    with torch.no_grad():
        for weights in trained.network.parameters():
            weights.zero_()  # every score is the same
    trained.validation_step(SelectionBatch(examples(tokenizer, "Maybe", "It rains"), pool=3), 0)
    assert trained._sums.first == 0 and trained._sums.examples == 5
    assert trained._sums.loss == pytest.approx(5 * math.log(3), rel=1e-5)
