"""Mining of hard negatives: for each example, the responses of other examples that a trained selector scores best."""

import os
from collections.abc import Callable

import torch

from convmodel.data.atomic import atomic_file, check_file_writable
from convmodel.data.options import ReadOptions
from convmodel.data.reader import Source, source_name
from convmodel.data.selection_example import dump_example, iter_examples
from convmodel.models.selection.fused_contexts import search_table
from convmodel.models.selection.fused_selector import SearchingSelector
from convmodel.models.selection.lexical import WordTable
from convmodel.models.selection.search.table import CandidateTable
from convmodel.models.selection.search.vectors import CandidateMatrix
from convmodel.tokens.store import iter_chunks

BATCH = 256
"""Number of contexts encoded and searched at once."""


def mine(
    selector: SearchingSelector,
    source: Source,
    output: str | os.PathLike[str],
    *,
    negatives: int = 9,
    skip: int = 0,
    read_options: ReadOptions | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Write a file of examples, each with the best-scored responses of other examples as its distractors.

    Neither the gold response nor a turn of the context becomes a distractor. A response that is as good as the gold
    response may become a distractor; `skip` makes this less likely.

    Args:
        selector: the selector that scores the responses.
        source: files of conversations, or of examples with candidates.
        output: the JSON Lines file to write, `{"context", "response", "distractors", "persona"}`; it appears when it is
            complete.
        negatives: largest number of distractors for each example.
        skip: number of best-scored responses that are left out.
        progress: called after each batch with the number of examples in it.

    Returns:
        The number of examples written.

    Raises:
        ValueError: for less than one negative, a negative skip, or a file whose responses are all equal.
        OSError: when the output cannot be written.
    """
    if negatives < 1 or skip < 0:
        raise ValueError(f"negatives={negatives}, skip={skip}; allowed are at least 1, and at least 0")
    check_file_writable(output)
    texts = list(dict.fromkeys(example.response for example in iter_examples(source, read_options)))
    if len(texts) < 2:
        raise ValueError(
            f"{source_name(source)}: all responses are the same text; no response can be a negative of another"
        )
    candidates = _table(selector, texts)
    written = 0
    with atomic_file(output) as fresh, open(fresh, "w", encoding="utf-8", newline="\n") as file:
        for batch in iter_chunks(iter_examples(source, read_options), BATCH):
            personas = [example.persona for example in batch]
            contexts = selector.encode_contexts([example.context for example in batch], personas=personas)
            max_excluded = max(len(example.context) for example in batch) + 1
            best = search_table(contexts, candidates, negatives + skip + max_excluded)
            for example, ids in zip(batch, best.ids.tolist(), strict=True):
                excluded = {text.strip() for text in (*example.context, example.response)}
                hardest = [texts[index] for index in ids if texts[index].strip() not in excluded]
                file.write(dump_example(example, hardest[skip : skip + negatives]) + "\n")
            written += len(batch)
            progress(len(batch))
    return written


def _table(selector: SearchingSelector, texts: list[str]) -> CandidateTable:
    """Return a table of encoded candidates for many searches."""
    vectors = torch.cat([selector.encode_candidates(part) for part in iter_chunks(texts, 16 * BATCH)])
    return CandidateTable(CandidateMatrix(vectors), lambda: WordTable.of(texts))
