"""The likelihood of turns and documents, against the trainer's `test`, single scores and plain Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from convmodel.data.conversation import Conversation
from convmodel.data.document import Document, format_meta
from convmodel.models.document_model import DocumentModel
from convmodel.reports.evaluation.likelihood import LOOKBACK, likelihoods, next_token_stats
from convmodel.reports.evaluation.reply_metrics import likelihood_metrics
from convmodel.tokens.document_windows import DocumentWindows, EncodedDocuments
from convmodel.tokens.turn_windows import TrainOn, target_turns
from tests.models.test_conversation_model import with_layout
from tests.reports.evaluation.helpers import small_model, some_conversations, some_documents


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.parametrize("predict", ["all", "last", "last_speaker"])
def test_the_numbers_are_those_of_the_trainers_test(folder: Path, tmp_path: Path, predict: TrainOn) -> None:
    lightning = pytest.importorskip("pytorch_lightning")
    from convmodel.training.conversation_module import ConversationModule
    from convmodel.training.datamodules.conversation import ConversationDataModule
    from convmodel.training.tokenizer import connect

    module = ConversationModule(str(folder / "model"), train_on=predict)
    data = ConversationDataModule(test_file=str(folder / "talks.jsonl"), cache_dir=str(tmp_path))
    connect(module, data)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", precision="32-true", default_root_dir=tmp_path, **quiet)
    [tested] = trainer.test(module, datamodule=data, verbose=False)
    read = likelihoods(small_model(), some_conversations(), predict=predict)
    values = {metric.name: metric.value for metric in likelihood_metrics(read)}
    assert values["perplexity"] == pytest.approx(tested["test_perplexity"], rel=1e-4)
    assert values["perplexity_per_word"] == pytest.approx(tested["test_perplexity_per_word"], rel=1e-4)


def test_the_likelihood_of_a_reply_is_its_score() -> None:
    model = small_model()
    conversations = [
        Conversation(("Hello", "How are you?", "Fine", "And you? I like music.")),
        Conversation(("a", "b")),
    ]
    for conversation, read in zip(conversations, likelihoods(model, conversations), strict=True):
        turns = conversation.turns
        assert read.turns == list(range(1, len(turns) + 1))
        for index in range(1, len(turns)):
            score = model.score(turns[:index], [turns[index]])
            assert read.nats[index] == pytest.approx(-score.summed[0], rel=1e-4)
            assert read.tokens[index] == score.num_tokens[0]
        assert read.words == [len(turn.split()) for turn in turns]
        assert read.characters == [len(turn) for turn in turns]


@pytest.mark.parametrize("name", ["chatml", "gemma", "no end"])
def test_by_a_chat_template_too_the_likelihood_of_a_reply_is_its_score(name: str) -> None:
    model = with_layout(name)
    turns = ("Hello", "How are you?", "Fine", "And you? I like music.")
    [read] = likelihoods(model, [Conversation(turns, ("I like rain",))])
    for index in (1, 3):  # the assistant's
        score = model.score(turns[:index], [turns[index]], persona=["I like rain"])
        end = 0.0
        if name == "no end":  # a score ends with the end of text, which the template does not write
            end = score.summed[0] + read.nats[index]
        assert read.nats[index] == pytest.approx(-score.summed[0] + end, rel=1e-4)
        assert read.tokens[index] == score.num_tokens[0] - (name == "no end")


def test_a_persona_belongs_to_the_last_speaker() -> None:
    model = small_model()
    [read] = likelihoods(model, [Conversation(("Hello", "Hi"), ("I like rain.",))])
    score = model.score(["Hello"], ["Hi"], persona=["I like rain."])
    assert read.nats[1] == pytest.approx(-score.summed[0], rel=1e-4)


@pytest.mark.parametrize("names", [["Ida", "Tom", "Eve", "Tom"], ["Ida", "Ida", "Eve", "Tom"], ["Ida", "Tom"] * 2])
def test_the_likelihood_of_a_reply_in_a_group_is_its_score(names: list[str]) -> None:
    model = small_model()
    turns = ["Hello", "How are you?", "Fine", "And you? I like music."]
    [read] = likelihoods(model, [Conversation(turns, ["I like rain."], speakers=names)])
    given: dict[str, Any] = {"persona": ["I like rain."], "speakers": names[:-1], "speaker": names[-1]}
    score = model.score(turns[:-1], [turns[-1]], **given)
    assert read.nats[-1] == pytest.approx(-score.summed[0], rel=1e-4) and read.tokens[-1] == score.num_tokens[0]
    assert sum(read.words) == len(" ".join(turns).split())


@pytest.mark.parametrize("predict", ["all", "last", "first_speaker", "second_speaker", "last_speaker"])
def test_every_target_is_predicted_once_even_where_windows_split(predict: TrainOn) -> None:
    conversations = some_conversations(1)
    model = small_model()
    read = likelihoods(model, conversations, predict=predict)
    assert any(sum(len(model.tokenizer.encode(turn)) for turn in c.turns) > 64 for c in conversations)
    for index, (conversation, likelihood) in enumerate(zip(conversations, read, strict=True), 1):
        expected = [turn + 1 for turn in target_turns(predict, len(conversation.turns))]
        assert (likelihood.conversation, likelihood.turns) == (index, expected)


def test_batch_sizes_change_likelihoods_only_by_rounding() -> None:
    model = small_model()
    conversations = some_conversations(2)
    small, large = (likelihoods(model, conversations, tokens_per_batch=tokens) for tokens in (1, 4096))
    for in_small, in_large in zip(small, large, strict=True):
        assert in_small.nats == pytest.approx(in_large.nats, rel=1e-4)
        assert in_small.tokens == in_large.tokens


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary() -> None:
    model = small_model(scale=0.0)
    [metric, *_] = likelihood_metrics(likelihoods(model, some_conversations(3)))
    assert metric.value == pytest.approx(len(model.tokenizer), rel=1e-4)


def test_weights_that_are_not_finite_are_reported() -> None:
    model = small_model()
    network: Any = model.hf_model
    with torch.no_grad():
        network.transformer.ln_f.weight[3] = float("nan")
    with pytest.raises(ValueError, match="the weights of the model contain nan or inf"):
        likelihoods(model, some_conversations())


def test_conversations_that_cannot_be_read_are_reported() -> None:
    model = small_model()
    with pytest.raises(ValueError, match="conversation 2 has a persona that leaves no room for a turn in 64 tokens"):
        likelihoods(model, [Conversation(("a", "b")), Conversation(("a", "b"), ("I am Ann. " * 40,))])
    with pytest.raises(ValueError, match="no turn to predict with perplexity_on=second_speaker"):
        likelihoods(model, [Conversation(("alone",))], predict="second_speaker")


# Documents


def likeliest_ids(model: DocumentModel, documents: Sequence[Document], overlap: int) -> list[list[int]]:
    """Return the likeliest id at each predicted token of each document: window by window, all logits at once."""
    encode = model.tokenizer.encode
    encoded = EncodedDocuments([encode(format_meta(d.meta)) for d in documents], [encode(d.body) for d in documents])
    windows = DocumentWindows(encoded, sep_token_id=model.tokenizer.sep_token_id, limits=model.limits(overlap))
    ids: list[list[int]] = [[] for _ in documents]
    for document, window in zip(windows.document, windows.read(range(len(windows))), strict=True):
        with torch.inference_mode():
            logits = model.hf_model(torch.tensor(window.input_ids)[None]).logits[0]
        ids[document] += [int(logits[t - 1].argmax()) for t, label in enumerate(window.labels) if label >= 0]
    return ids


@pytest.mark.parametrize(("overlap", "tokens_per_batch"), [(0, 4096), (10, 64), (64, 200)])
def test_each_token_is_predicted_once_whatever_the_windows_and_batches(
    document_model: DocumentModel, overlap: int, tokens_per_batch: int
) -> None:
    model = document_model
    documents = some_documents()
    read = next_token_stats(model, documents, overlap=overlap, tokens_per_batch=tokens_per_batch)
    scores = model.score([d.body for d in documents], metas=[d.meta for d in documents], overlap=overlap)
    assert [stats.nats for stats in read] == pytest.approx(scores.nats, rel=1e-5)
    assert [stats.tokens for stats in read] == scores.tokens
    assert [stats.words for stats in read] == scores.words and [stats.bytes for stats in read] == scores.bytes
    assert max(stats.tokens for stats in read) > 2 * model.n_positions
    for document, stats, guesses in zip(documents, read, likeliest_ids(model, documents, overlap), strict=True):
        body = model.tokenizer.encode(document.body)
        gold = [*body, model.tokenizer.sep_token_id]
        before = [body[max(0, index - LOOKBACK) : index] for index in range(len(gold))]
        assert len(guesses) == stats.tokens == len(gold)
        assert stats.right == sum(guess == token for guess, token in zip(guesses, gold, strict=True))
        assert stats.again == sum(guess in seen for guess, seen in zip(guesses, before, strict=True))
        assert stats.gold_again == sum(token in seen for token, seen in zip(gold, before, strict=True))
        wrong = zip(guesses, gold, before, strict=True)
        assert stats.wrongly_again == sum(guess in seen and guess != token for guess, token, seen in wrong)
