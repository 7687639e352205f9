"""TRL's SFTTrainer with peft, on conversations rendered by the chat template, as a contender of fine-tuning."""

from typing import Any

import torch

from benchmarks.fine_tuning_job import Clock, Found, Tuning
from convmodel.data.conversation import Conversation, read_conversations
from convmodel.models.devices import has_fast_bf16
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer


def messages(conversation: Conversation) -> list[dict[str, str]]:
    """Return the turns as chat messages; the last one is the assistant's, as in the layout of the chat template."""
    last = len(conversation.turns) - 1
    roles = ("assistant", "user")
    return [{"role": roles[(last - n) % 2], "content": turn} for n, turn in enumerate(conversation.turns)]


def trl(job: Tuning) -> Found:
    """Train with TRL's SFTTrainer and peft: rows without padding, the loss on all tokens, no checkpointing."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTTrainer

    tokenizer = ConversationTokenizer.from_pretrained(job.model)
    conversations = list(read_conversations(job.train_file))
    rows = [tokenizer.hf_tokenizer.apply_chat_template(messages(c), tokenize=False) for c in conversations]
    ids = [tokenizer.hf_tokenizer.encode(row, add_special_tokens=False) for row in rows]
    share = useful_share(tokenizer, conversations, ids)
    clock = Clock()

    class Metered(TrainerCallback):
        seen = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            tokens = int(state.num_input_tokens_seen) - self.seen
            self.seen += tokens
            clock.step(tokens, tokens * share)

    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32),
        _sft_config(job),
        train_dataset=Dataset.from_dict({"input_ids": ids}),
        processing_class=tokenizer.hf_tokenizer,
        peft_config=_peft_config(job),
        callbacks=[Metered()],
    )
    clock = Clock()
    trainer.train()
    trainer.model.merge_and_unload().save_pretrained(job.output)
    tokenizer.hf_tokenizer.save_pretrained(job.output)
    return clock.report()


def useful_share(
    tokenizer: ConversationTokenizer, conversations: list[Conversation], rows: list[list[int]], *, most: int = 500
) -> float:
    """Return the share of turns and their ends among the tokens of rendered conversations, which ours predicts."""
    turns = [turn for conversation in conversations[:most] for turn in conversation.turns]
    useful = sum(len(ids) + 1 for ids in tokenizer.hf_tokenizer(turns, add_special_tokens=False)["input_ids"])
    return useful / sum(map(len, rows[:most]))


def _peft_config(job: Tuning) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=job.rank,
        lora_alpha=int(job.alpha),
        lora_dropout=job.dropout,
        target_modules="all-linear",
    )


def _sft_config(job: Tuning) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        output_dir=f"{job.output}-run",
        packing=True,
        packing_strategy="wrapped",
        max_length=job.max_length,
        per_device_train_batch_size=max(1, job.tokens_per_batch // job.max_length),
        gradient_checkpointing=False,
        bf16=has_fast_bf16(torch.device("cpu")),
        use_cpu=True,
        optim="adamw_torch_fused",
        learning_rate=job.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=job.warmup_steps,
        max_steps=job.steps,
        include_num_input_tokens_seen="non_padding",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
