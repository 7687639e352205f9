"""A trained selector and examples in, the same examples with the distractors that it finds hardest out."""

import json
import os
from collections.abc import Callable, Sequence

import torch

from convmodel.data.atomic import atomic_file
from convmodel.data.conversation import OnError
from convmodel.data.selection_example import SelectionExample, iter_examples
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.tokens.store import iter_chunks

AT_ONCE = 256
"""Contexts that are encoded and searched together."""

Progress = Callable[[int], object]
"""Told how many more examples are done."""


def mine(
    selector: DualEncoderSelector,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    negatives: int = 9,
    skip: int = 0,
    on_error: OnError = "stop",
    progress: Progress = lambda _: None,
) -> int:
    """Writes each example of a file with the responses of the others that score best, in place of its distractors.

    The real response never is a distractor of its context, nor is what was said in it. A response that would do as well
    as the real one may be: `skip` leaves the very best out.

    Args:
        selector: finds them.
        source: conversations or examples with candidates.
        output: JSON Lines, `{"context", "response", "distractors", "persona"}`; appears when all are written.
        negatives: how many for each example.
        skip: how many of the best are left out.
        on_error: what to do with a line that cannot be read.
        progress: told of examples that are done.

    Returns:
        How many examples were written.

    Raises:
        ValueError: for less than one negative, a negative skip, or a file with too few responses.
    """
    if negatives < 1 or skip < 0:
        raise ValueError(f"negatives={negatives}, skip={skip}; allowed are at least 1, and at least 0")
    texts = list(dict.fromkeys(one.response for one in iter_examples(source, on_error=on_error)))
    if len(texts) < 2:
        raise ValueError(f"{os.fspath(source)}: all responses are the same text; there is nothing to tell apart")
    vectors = torch.cat([selector.encode_candidates(part) for part in iter_chunks(texts, 16 * AT_ONCE)])
    written = 0
    with atomic_file(output) as fresh, open(fresh, "w", encoding="utf-8", newline="\n") as file:
        for part in iter_chunks(iter_examples(source, on_error=on_error), AT_ONCE):
            contexts = selector.encode_contexts([one.context for one in part], personas=[one.persona for one in part])
            said = max(len(one.context) for one in part) + 1
            best = selector.search_encoded(contexts, vectors, negatives + skip + said)
            for one, ids in zip(part, best.ids.tolist(), strict=True):
                known = {text.strip() for text in (*one.context, one.response)}
                hardest = [texts[number] for number in ids if texts[number].strip() not in known]
                file.write(_line(one, hardest[skip : skip + negatives]) + "\n")
            written += len(part)
            progress(len(part))
    return written


def _line(one: SelectionExample, distractors: Sequence[str]) -> str:
    value = {"context": one.context, "response": one.response, "distractors": distractors}
    return json.dumps(value | ({"persona": one.persona} if one.persona else {}), ensure_ascii=False)
