"""The likelihood of every turn, against the trainer's `test` and the scores of single replies."""

from pathlib import Path

import pytest
import torch

from convmodel.data.conversation import Conversation
from convmodel.reports.evaluation.likelihood import likelihoods
from convmodel.reports.evaluation.reply_metrics import likelihood_metrics
from convmodel.tokens.conversation_layout import TrainOn, target_turns
from tests.reports.evaluation.helpers import small_model, some_conversations


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
    found = {metric.name: metric.value for metric in likelihood_metrics(read)}
    assert found["perplexity"] == pytest.approx(tested["test_perplexity"], rel=1e-4)
    assert found["perplexity_per_word"] == pytest.approx(tested["test_perplexity_per_word"], rel=1e-4)


def test_the_likelihood_of_a_reply_is_its_score() -> None:
    model = small_model()
    conversations = [
        Conversation(("Hello", "How are you?", "Fine", "And you? I like music.")),
        Conversation(("a", "b")),
    ]
    for conversation, read in zip(conversations, likelihoods(model, conversations), strict=True):
        turns = conversation.turns
        assert read.turns == list(range(1, len(turns) + 1))
        for place in range(1, len(turns)):
            score = model.score(turns[:place], [turns[place]])
            assert read.nats[place] == pytest.approx(-score.summed[0], rel=1e-4)
            assert read.tokens[place] == score.num_tokens[0]
        assert read.words == [len(turn.split()) for turn in turns]
        assert read.characters == [len(turn) for turn in turns]


def test_a_persona_is_of_the_last_speaker() -> None:
    model = small_model()
    [read] = likelihoods(model, [Conversation(("Hello", "Hi"), ("I like rain.",))])
    score = model.score(["Hello"], ["Hi"], persona=["I like rain."])
    assert read.nats[1] == pytest.approx(-score.summed[0], rel=1e-4)


@pytest.mark.parametrize("predict", ["all", "last", "first_speaker", "second_speaker", "last_speaker"])
def test_every_target_is_predicted_once_even_where_windows_split(predict: TrainOn) -> None:
    conversations = some_conversations(1)
    model = small_model()
    read = likelihoods(model, conversations, predict=predict)
    assert any(sum(len(model.tokenizer.encode(turn)) for turn in c.turns) > 64 for c in conversations)
    for number, (conversation, one) in enumerate(zip(conversations, read, strict=True), 1):
        expected = [turn + 1 for turn in target_turns(predict, len(conversation.turns))]
        assert (one.conversation, one.turns) == (number, expected)


def test_how_turns_are_batched_changes_nothing_but_roundings() -> None:
    model, conversations = small_model(), some_conversations(2)
    small, large = (likelihoods(model, conversations, tokens_per_batch=tokens) for tokens in (1, 4096))
    for one, other in zip(small, large, strict=True):
        assert one.nats == pytest.approx(other.nats, rel=1e-4)
        assert one.tokens == other.tokens


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary() -> None:
    model = small_model(scale=0.0)
    [metric, *_] = likelihood_metrics(likelihoods(model, some_conversations(3)))
    assert metric.value == pytest.approx(len(model.tokenizer), rel=1e-4)


def test_a_broken_model_is_told() -> None:
    model = small_model()
    with torch.no_grad():
        model.hf_model.transformer.ln_f.weight[3] = float("nan")
    with pytest.raises(ValueError, match="there are nan or inf among its weights"):
        likelihoods(model, some_conversations())


def test_what_cannot_be_read_is_told() -> None:
    model = small_model()
    with pytest.raises(ValueError, match="conversation 2 has a persona that leaves no room for a turn in 64 tokens"):
        likelihoods(model, [Conversation(("a", "b")), Conversation(("a", "b"), ("I am Ann. " * 40,))])
    with pytest.raises(ValueError, match="no turn to predict with perplexity_on=second_speaker"):
        likelihoods(model, [Conversation(("alone",))], predict="second_speaker")
