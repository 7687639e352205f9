"""Short chat templates that behave like those of known families, and a byte-level tokenizer for them."""

from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from tests.vocabularies import byte_level

ALTERNATION = (
    "{%- set talk = messages | rejectattr('role', 'equalto', 'system') | list -%}"
    "{%- for m in talk -%}"
    "{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('roles must alternate') }}{%- endif -%}"
    "{%- endfor -%}"
)
SYSTEM = "{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}"

TEMPLATES = {
    "chatml": "{%- for m in messages -%}"
    "{%- if loop.first and m.role != 'system' -%}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{%- endif -%}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}",
    "llama 2": SYSTEM + ALTERNATION + "{%- for m in talk -%}{%- if m.role == 'user' -%}"
    "{{ bos_token + '[INST]\n' + ('<<SYS>>\n' + system + '\n<</SYS>>\n\n' if loop.first and system else '') }}"
    "{{ m.content + '\n[/INST]\n' }}{%- else -%}{{ m.content + eos_token }}{%- endif -%}{%- endfor -%}",
    "llama 3": "{{ bos_token }}{%- for m in messages -%}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}",
    "gemma": "{{ bos_token }}"
    "{%- if messages[0].role == 'system' -%}{{ raise_exception('no system role') }}{%- endif -%}"
    + ALTERNATION
    + "{%- for m in messages -%}{%- set role = 'model' if m.role == 'assistant' else m.role -%}"
    "{{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
    "mistral": SYSTEM + ALTERNATION + "{{ bos_token }}{%- for m in talk -%}{%- if m.role == 'user' -%}"
    "{{ '[INST]' + (system + '\n\n' if loop.first and system else '') + m.content + '[/INST]' }}"
    "{%- else -%}{{ m.content + eos_token }}{%- endif -%}{%- endfor -%}",
    "mistral, system last": SYSTEM + ALTERNATION + "{{ bos_token }}{%- set last = namespace(user=-1) -%}"
    "{%- for m in talk if m.role == 'user' -%}{%- set last.user = loop.index0 * 2 -%}{%- endfor -%}"
    "{%- for m in talk -%}{%- if m.role == 'user' -%}"
    "{{ '[INST]' + (system + '\n\n' if loop.index0 == last.user and system else '') + m.content + '[/INST]' }}"
    "{%- else -%}{{ m.content + eos_token }}{%- endif -%}{%- endfor -%}",
    "qwen 3": "{%- set last = namespace(user=-1) -%}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set last.user = loop.index0 -%}{%- endif -%}{%- endfor -%}"
    "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' }}"
    "{%- if m.role == 'assistant' and loop.index0 > last.user -%}{{ '<think>\n\n</think>\n\n' }}{%- endif -%}"
    "{{ m.content + '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking -%}{{ '<think>\n\n</think>\n\n' }}{%- endif -%}"
    "{%- endif -%}",
    "zephyr": "{%- for m in messages -%}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}",
    "no end": "{%- for m in messages -%}"
    "{{ {'system': 'Note', 'user': 'Q', 'assistant': 'A'}[m.role] + ':\n' + m.content + '\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ 'A:\n' }}{%- endif -%}",
}

CONTROL = [
    *("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"),
]

CHANGING = {"mistral, system last", "qwen 3"}
"""Templates that change earlier turns."""

NO_SYSTEM = {"gemma"}
USER_FIRST = {"llama 2", "gemma", "mistral", "mistral, system last"}
"""Templates that want the user to begin."""


@cache
def _vocabulary() -> str:
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROL], special_tokens=True)
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in ("<think>", "</think>")])
    return tokenizer.backend_tokenizer.to_str()


def with_template(name: str, **options: Any) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one of `TEMPLATES`."""
    names = {"bos_token": "<s>", "eos_token": "</s>"} | options
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_vocabulary()), **names)
    tokenizer.chat_template = TEMPLATES[name]
    return tokenizer
