"""Losses of selectors, compared with the formula, and cached gradients."""

from dataclasses import replace
from typing import Any, cast

import pytest
import torch

pytest.importorskip("pytorch_lightning")

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.selection_dataset import TokenisedChoice
from convmodel.training.selection_objectives import draw_pools
from convmodel.training.selector_module import SelectorModule
from convmodel.training.selector_modules import BiEncoderModule, CrossEncoderModule, PolyEncoderModule
from tests.training.conftest import difference
from tests.training.test_selector_modules import TINY

pytestmark = pytest.mark.machine

CONTEXTS = ["Hello", "How are you?", "Where do you live?", "Do you like music?", "I like the rain."]
RESPONSES = ["I am fine", "I am fine", "by the sea", "Yes", "No"]


def module(tokenizer: ConversationTokenizer, cls: type[SelectorModule] = BiEncoderModule, **options: Any) -> Any:
    torch.manual_seed(0)
    module_: Any = cast(Any, cls)(new_encoder=TINY, max_context=60, max_candidate=20, **options)
    module_.tokenizer = tokenizer
    module_.configure_model()
    with torch.no_grad():
        for weights in module_.network.parameters():
            weights.add_(torch.randn_like(weights) * 0.2)
    return module_


def examples(tokenizer: ConversationTokenizer, *distractors: str) -> list[TokenisedChoice]:
    return [
        TokenisedChoice([tokenizer.encode(c)], [], tokenizer.encode(r), tokenizer.encode_many(distractors))
        for c, r in zip(CONTEXTS, RESPONSES, strict=True)
    ]


@pytest.mark.parametrize("cls", [BiEncoderModule, PolyEncoderModule])
@pytest.mark.parametrize("cosine_scale", [None, 5.0])
def test_the_loss_ranks_each_response_among_all_other_texts_of_the_batch(
    tokenizer: ConversationTokenizer, cls: type[SelectorModule], cosine_scale: float | None
) -> None:
    trained = module(tokenizer, cls, cosine_scale=cosine_scale)
    distractors = ["Maybe", "Yes", "It rains"]  # one is a response as well: it counts once
    loss = trained.batch_loss(examples(tokenizer, *distractors))
    texts = [*dict.fromkeys([*RESPONSES, *distractors])]
    scores = trained.selector.score([[c] for c in CONTEXTS], texts).double()
    expected = 0.0
    for row, response in zip(scores, RESPONSES, strict=True):
        own = row[texts.index(response)]
        # Another example with the same response is left out; other repeated texts count as often as they are responses.
        others = [row[texts.index(r)] for r in RESPONSES if r != response]
        others += [row[texts.index(d)] for d in distractors if d not in RESPONSES]
        expected += float(torch.logsumexp(torch.stack([own, *others]), 0) - own) / len(scores)
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("cls", [BiEncoderModule, PolyEncoderModule, CrossEncoderModule])
def test_cached_gradients_equal_those_of_a_plain_step(
    tokenizer: ConversationTokenizer, cls: type[SelectorModule], monkeypatch: pytest.MonkeyPatch
) -> None:
    from convmodel.models.selection import encoder

    monkeypatch.setattr(encoder, "TOKENS_PER_CPU_CHUNK", 12)  # several chunks
    gradients = []
    for cached in (False, True):
        trained = module(tokenizer, cls, cached_gradients=cached)
        torch.manual_seed(0)
        trained.batch_loss(examples(tokenizer, "Maybe")).backward()
        gradients.append({name: w.grad.clone() for name, w in trained.network.named_parameters() if w.grad is not None})
    assert difference(*gradients) < 1e-5 * max(float(g.abs().max()) for g in gradients[0].values())


def test_cached_gradients_repeat_the_dropout_of_the_first_pass(tokenizer: ConversationTokenizer) -> None:
    cached = module(tokenizer, cached_gradients=True)
    plain = module(tokenizer)
    for trained in (cached, plain):
        trained.network.train()
        for layer in trained.network.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.5
    gradients = []
    for trained in (cached, plain):
        torch.manual_seed(3)
        trained.batch_loss(examples(tokenizer)).backward()
        gradients.append({name: w.grad.clone() for name, w in trained.network.named_parameters() if w.grad is not None})
    assert difference(*gradients) < 1e-5


def test_a_cross_encoder_ranks_each_response_among_its_own_candidates(tokenizer: ConversationTokenizer) -> None:
    trained = module(tokenizer, CrossEncoderModule, negatives=2)
    batch = examples(tokenizer, "Maybe", "It rains", "never")
    loss = trained.batch_loss(batch)
    scores = trained.selector.score([[c] for c in CONTEXTS], [[r, "Maybe", "It rains"] for r in RESPONSES])
    assert float(loss.detach()) == pytest.approx(float(-scores.log_softmax(1)[:, 0].mean()), abs=1e-5)
    drawn = [pool[1:] for pool in draw_pools(examples(tokenizer), 2)]
    texts = [[tokenizer.decode(ids) for ids in one] for one in drawn]
    for response, negatives in zip(RESPONSES, texts, strict=True):  # from the batch, where a file gives none
        assert len(set(negatives)) == 2 and {*negatives} <= {*RESPONSES} - {response}
    same = [replace(one, response=tokenizer.encode("Yes")) for one in examples(tokenizer)[1:]]
    few = [examples(tokenizer)[0], *same]  # the others have but one candidate that is no response of theirs
    scores = trained.selector.score([[c] for c in CONTEXTS], ["Yes", "I am fine"]).clone()
    scores[0] = scores[0].flip(0)
    expected = -scores.log_softmax(1)[:, 0].mean()
    assert float(trained.batch_loss(few).detach()) == pytest.approx(float(expected), abs=1e-5)
    with pytest.raises(ValueError, match=r"model\.negatives=0; it must be at least 1"):
        CrossEncoderModule(negatives=0)
