"""The likelihood of replies by encoder-decoders, against transformers' own loss."""

import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import AutoTokenizer

from convmodel.__main__ import main
from convmodel.data.conversation import Conversation
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation.reply_likelihood import reply_likelihoods
from tests.models.encoder_decoders import save_encoder_decoder

TALKS = [Conversation(["Hello", "I am fine", "you"]), Conversation(["Do you like music?", "Yes"]), Conversation(["I"])]


def test_each_turn_is_predicted_from_those_before_it(tmp_path: Path) -> None:
    network: Any = save_encoder_decoder(tmp_path, "t5")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    read = reply_likelihoods(ConversationModel.from_pretrained(tmp_path, "cpu", "float32"), TALKS)
    assert [(one.conversation, one.turns) for one in read] == [(1, [2, 3]), (2, [2]), (3, [])]
    for talk, one in zip(TALKS, read, strict=True):
        for turn, nats, tokens in zip(one.turns, one.nats, one.tokens, strict=True):
            ids = [token for text in talk.turns[: turn - 1] for token in tokenizer(text)["input_ids"]]
            labels = torch.tensor([tokenizer(talk.turns[turn - 1])["input_ids"]])
            with torch.no_grad():
                loss = float(network(input_ids=torch.tensor([ids]), labels=labels).loss)
            assert tokens == labels.shape[1] and nats == pytest.approx(loss * tokens, rel=1e-4)
    with pytest.raises(ValueError, match="no turn to predict with perplexity_on=first_speaker"):
        reply_likelihoods(cast(Any, ConversationModel.from_pretrained(tmp_path)), TALKS[1:], predict="first_speaker")


def test_the_command_reports_perplexity_and_replies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_encoder_decoder(tmp_path / "model", "blenderbot")
    (tmp_path / "in.jsonl").write_text('["Hello", "I am fine"]\n["you", "Yes", "And you?"]\n')
    given = ["evaluate", "--model", str(tmp_path / "model"), "--data", str(tmp_path / "in.jsonl")]
    assert main([*given, "--set", "max_new_tokens=4", "--output", str(tmp_path / "report")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "perplexity" in line)
    assert math.isfinite(float(line.replace(",", "").split()[2]))
