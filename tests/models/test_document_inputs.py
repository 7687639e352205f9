"""Prompts laid out for generation: what is dropped, and when there is no room."""

import pytest

from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import TEXTS
from tests.models.documents import make


def test_meta_and_prompt_are_cut_to_their_limits_and_dropped_tokens_are_counted() -> None:
    tokenizer = DocumentTokenizer.learn(TEXTS * 3, 320)
    decoding = make(tokenizer).decoding(max_new_tokens=50)
    prompt, meta = "Where do you live? I live by the sea. " * 4, "Cats, dogs and horses"
    prompt_ids, meta_ids = tokenizer.encode_many([prompt, meta])
    inputs = make(tokenizer, max_meta_length=3).prepare(prompt, meta, decoding, seed=1)
    kept = decoding.context_limit - 2 - 3
    assert inputs.encoding.meta_tokens_dropped == len(meta_ids) - 3
    assert inputs.encoding.tokens_dropped == len(prompt_ids) - kept
    sep = tokenizer.sep_token_id
    assert inputs.encoding["input_ids"] == [sep, *meta_ids[:3], sep, *prompt_ids[-kept:]]
    assert inputs.job.requests[0].prefix_ids == prompt_ids


@pytest.mark.parametrize(
    ("prompt", "meta", "message"),
    [
        ("Hello", None, r"max_new_tokens=60 leaves no room for a prompt \(max_body_length=60\); ask for fewer$"),
        (
            "Hello",
            "Cats and dogs",
            r"a prompt beside the meta's 2 tokens \(max_body_length=60\); ask for fewer, or a shorter meta$",
        ),
    ],
)
def test_a_prompt_without_room_is_refused_with_the_option_to_change(
    prompt: str, meta: str | None, message: str
) -> None:
    tokenizer = DocumentTokenizer.learn(TEXTS * 3, 320)
    decoding = make(tokenizer).decoding(max_new_tokens=60)
    with pytest.raises(ValueError, match=message):
        make(tokenizer, max_meta_length=2, max_body_length=60).prepare(prompt, meta, decoding)
