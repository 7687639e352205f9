"""Personas, and the backward model of mutual information, trained with the command."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.__main__ import main as convmodel
from convmodel.data.conversation import read_conversations
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.rerankers import MutualInformation
from convmodel.responders.writer import Writer
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.training.conftest import Workshop

pytestmark = [pytest.mark.machine, pytest.mark.slow]

NAMES = ("Anna", "Boris")
SMALL_TALK = [("Nice day!", "Yes, it is."), ("It rains.", "I like rain."), ("I am tired.", "Sleep well then.")]
QUESTION = "Who are you?"

OPTIONS: dict[str, Any] = {
    "data__valid_file": None,
    "data__test_file": None,
    "data__tokens_per_batch": 256,
    "model__learning_rate": 0.003,
    "model__schedule": "cosine",
    "trainer__max_epochs": -1,
    "trainer__max_steps": 300,
}


def base_model(folder: Path, texts: list[str]) -> Path:
    """Save a small model whose large initial weights let it learn attention within dozens of steps."""
    tokenizer = ConversationTokenizer.learn(texts * 4, 320)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_layer=1,
        n_head=2,
        n_embd=32,
        initializer_range=0.2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    ConversationModel(GPT2LMHeadModel(config), tokenizer).save_pretrained(folder / "base")
    return folder / "base"


def write(path: Path, lines: list[object]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_a_trained_model_replies_according_to_the_persona(workshop: Workshop) -> None:
    source = random.Random(0)
    lines: list[object] = []
    for number in range(160):
        name = NAMES[number % 2]
        chat = [turn for pair in source.choices(SMALL_TALK, k=source.randint(0, 6)) for turn in pair]
        turns = [*chat, QUESTION, f"I am {name}."]
        lines.append({"turns": turns, "persona": [f"My name is {name}."]})
    write(workshop.folder / "train.jsonl", lines)
    texts = [QUESTION, *(text for pair in SMALL_TALK for text in pair), *(f"I am {n}. My name is {n}." for n in NAMES)]
    base = base_model(workshop.folder, texts)
    workshop.train(**OPTIONS, model__train_on="last_speaker", model__pretrained_model_name_or_path=base)
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model", device="cpu", dtype="float32")
    long = [turn for pair in SMALL_TALK * 8 for turn in pair]
    assert len(model.tokenizer(long)["input_ids"]) > model.n_positions  # old turns are dropped, the persona is kept
    for context in ([QUESTION], [*long, QUESTION]):
        for name in NAMES:
            persona = [f"My name is {name}."]
            output = model.generate(context, persona=persona, do_sample=False, max_new_tokens=16)
            assert output.responses == [f"I am {name}."]
            assert bool(output.turns_dropped) == (len(context) > 1)
            with Writer(model) as writer:
                options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 16}
                reply = writer.start(context, persona=persona, options=options).result()
            # A writer drops more old turns at once to reuse its cache; the reply to the remaining turns is the same.
            kept_turns = context[reply.turns_dropped :]
            assert [reply.text] == model.generate(kept_turns, persona=persona, **options).responses
            assert len(context) > 1 or reply.text == f"I am {name}."


def test_mutual_information_prefers_the_specific_reply_to_a_generic_one(
    workshop: Workshop,
) -> None:
    source = random.Random(0)
    specific_replies = {"Do you like cats?": "Cats are lovely.", "Do you like dogs?": "Dogs are loyal."}
    pairs = [
        [question, source.choice([reply, "I see.", "I see."])]
        for question, reply in list(specific_replies.items()) * 80
    ]
    write(workshop.folder / "train.jsonl", list(pairs))
    assert (
        convmodel(["convert", "--reverse", str(workshop.folder / "train.jsonl"), str(workshop.folder / "back.jsonl")])
        == 0
    )
    reversed_pairs = [list(c.turns) for c in read_conversations(workshop.folder / "back.jsonl")]
    assert reversed_pairs == [pair[::-1] for pair in pairs]
    models = {}
    base = base_model(workshop.folder, [*specific_replies, *specific_replies.values(), "I see."])
    for run, file in (("forward", "train.jsonl"), ("backward", "back.jsonl")):
        workshop.train(
            run=run,
            **OPTIONS,
            data__train_file=workshop.folder / file,
            model__train_on="last",
            model__pretrained_model_name_or_path=base,
        )
        models[run] = ConversationModel.from_pretrained(workshop.folder / run / "model", device="cpu", dtype="float32")
    scorer = MutualInformation(models["forward"], models["backward"], weight=0.7)
    for question, reply in specific_replies.items():
        other = next(text for text in specific_replies.values() if text != reply)
        forward_scores = models["forward"].score([question], ["I see.", reply, other])
        assert forward_scores.summed[0] > forward_scores.summed[1] > forward_scores.summed[2]
        generic, specific, wrong = scorer.score([question], ["I see.", reply, other])
        assert specific > generic > wrong
        best = models["forward"].generate(
            [question], num_return_sequences=8, scorer=scorer, seed=1, max_new_tokens=16, temperature=1.0
        )
        assert best.responses[0] == reply and "I see." in best.responses
        assert best.scores == sorted(best.scores or [], reverse=True)
