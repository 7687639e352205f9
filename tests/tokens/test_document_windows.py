"""Windows of documents, against an oracle that walks through each document token by token."""

import random
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from convmodel.data.document import Document
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.document_layout import DocumentLimits, DocumentSequence
from convmodel.tokens.document_windows import (
    DocumentPlan,
    DocumentWindows,
    EncodedDocuments,
    StoredDocuments,
    document_segments,
)
from convmodel.tokens.store import TokenStore

SEP = 0

Window = tuple[list[int], list[int]]


def one_by_one(meta: list[int], body: list[int], limits: DocumentLimits) -> list[Window]:
    """The ids and labels of a document's windows, filled one token at a time."""
    head = [SEP, *meta[: limits.max_meta_length], SEP]
    most = limits.max_body_length or 10**9
    found: list[Window] = []
    done, ended = 0, False
    while not ended:
        context = body[max(0, done - limits.overlap) : done] if found else []
        new: list[int] = []
        whole = len(context) + len(body) - done
        if len(head) + whole + 1 <= limits.max_length and whole <= most:
            new, ended = [*body[done:], SEP], True
        else:
            while done + len(new) < len(body) and len(context) + len(new) < most:
                if len(head) + len(context) + len(new) == limits.max_length:
                    break
                new.append(body[done + len(new)])
        assert new
        done += len(new) - ended
        ids = [*head, *context, *new]
        found.append((ids, [IGNORED] * (len(ids) - len(new)) + new))
    return found


def plain(rows: list[DocumentSequence]) -> list[Window]:
    return [(row.input_ids.tolist(), row.labels.tolist()) for row in rows]


def random_limits(source: random.Random) -> DocumentLimits:
    """Of windows from the smallest to ones that hold everything."""
    while True:
        max_length = source.choice([source.randint(3, 12), source.randint(3, 60)])
        meta = source.choice([0, 1, source.randint(0, max_length)])
        body = source.choice([None, None, source.randint(1, max_length)])
        room = min(max_length - 2 - meta, body or max_length)
        if room > 0:
            overlap = source.choice([0, room - 1, source.randint(0, room - 1)])
            return DocumentLimits(max_length=max_length, max_meta_length=meta, max_body_length=body, overlap=overlap)


def random_documents(source: random.Random, limits: DocumentLimits) -> EncodedDocuments:
    """Some empty, some of a window's length and about, some much longer."""
    lengths = [
        *range(limits.max_length + 3),
        *(source.randint(0, 5 * limits.max_length) for _ in range(20)),
    ]
    metas = [
        [source.randint(100, 199) for _ in range(source.choice([0, 3, limits.max_meta_length + 5]))] for _ in lengths
    ]
    return EncodedDocuments(metas, [[source.randint(1, 99) for _ in range(length)] for length in lengths])


@pytest.mark.parametrize("seed", range(60))
def test_windows_are_those_that_walking_through_each_document_gives(seed: int) -> None:
    source = random.Random(seed)
    limits = random_limits(source)
    documents = random_documents(source, limits)
    windows = DocumentWindows(documents, sep_token_id=SEP, limits=limits)
    wanted = [
        one_by_one(list(meta), list(body), limits) for meta, body in zip(documents.metas, documents.bodies, strict=True)
    ]
    assert plain(windows.read(range(len(windows)))) == [window for each in wanted for window in each]
    assert windows.document.tolist() == [number for number, each in enumerate(wanted) for _ in each]
    assert windows.lengths.tolist() == [len(ids) for each in wanted for ids, _ in each]
    assert windows.split == sum(len(each) > 1 for each in wanted)
    assert windows.documents == len(wanted)


@pytest.mark.parametrize("seed", range(60))
def test_every_token_of_a_body_and_its_end_is_predicted_exactly_once_in_order(seed: int) -> None:
    source = random.Random(seed)
    limits = random_limits(source)
    documents = random_documents(source, limits)
    windows = DocumentWindows(documents, sep_token_id=SEP, limits=limits)
    predicted: list[list[int]] = [[] for _ in documents.bodies]
    for number, row in enumerate(windows.read(range(len(windows)))):
        assert len(row.input_ids) == windows.lengths[number] <= limits.max_length
        chosen = row.labels != IGNORED
        assert (row.labels[chosen] == row.input_ids[chosen]).all() and not chosen[0]
        predicted[windows.document[number]] += row.labels[chosen].tolist()
    assert predicted == [[*body, SEP] for body in documents.bodies]
    assert windows.predicted == sum(map(len, predicted))


def test_a_meta_that_is_too_long_is_cut_from_its_end_in_every_window() -> None:
    limits = DocumentLimits(max_length=8, max_meta_length=2, overlap=1)
    windows = DocumentWindows(EncodedDocuments([[7, 8, 9]], [[1, 2, 3, 4, 5]]), sep_token_id=SEP, limits=limits)
    x = IGNORED
    assert plain(windows.read([0, 1])) == [
        ([0, 7, 8, 0, 1, 2, 3, 4], [x, x, x, x, 1, 2, 3, 4]),
        ([0, 7, 8, 0, 4, 5, 0], [x, x, x, x, x, 5, 0]),
    ]


def test_a_window_that_is_filled_to_the_last_token_leaves_the_end_to_the_next() -> None:
    windows = DocumentWindows(
        EncodedDocuments([[]], [[1, 2, 3]]), sep_token_id=SEP, limits=DocumentLimits(max_length=5, overlap=2)
    )
    x = IGNORED
    assert plain(windows.read([0, 1])) == [([0, 0, 1, 2, 3], [x, x, 1, 2, 3]), ([0, 0, 2, 3, 0], [x, x, x, x, 0])]


def test_a_meta_is_left_out_where_that_is_asked() -> None:
    windows = DocumentWindows(
        EncodedDocuments([[7], [8]], [[1], [2]]), sep_token_id=SEP, limits=DocumentLimits(max_length=9, overlap=0)
    )
    x = IGNORED
    assert plain(windows.read(np.array([1, 0]), np.array([True, False]))) == [
        ([0, 0, 2, 0], [x, x, 2, 0]),
        ([0, 7, 0, 1, 0], [x, x, x, 1, 0]),
    ]


def test_no_documents_are_no_windows() -> None:
    plan = DocumentPlan([], [], DocumentLimits(max_length=9, overlap=0))
    assert (len(plan), plan.documents, plan.predicted, plan.split) == (0, 0, 0, 0)


def test_a_meta_that_leaves_no_room_to_cut_a_document_is_an_error_only_where_one_is_cut() -> None:
    limits = DocumentLimits(max_length=12, max_meta_length=8, overlap=2)
    assert len(DocumentPlan([9], [1], limits)) == 1
    with pytest.raises(
        ValueError, match=r"room for 2 tokens of the body beside 8 tokens of meta, .* below 2, a smaller"
    ):
        DocumentPlan([9, 0], [2, 50], limits)
    assert len(DocumentPlan([9], [2], DocumentLimits(max_length=12, max_meta_length=8, overlap=1))) == 2


class Letters:
    """As a tokenizer: one id a character."""

    def __len__(self) -> int:
        return 256

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        return [list(map(ord, text)) for text in texts]


def test_documents_of_a_store_are_laid_out_as_those_in_memory(tmp_path: Path) -> None:
    source = random.Random(1)
    documents = [
        Document(
            "".join(source.choices("ab é", k=source.randint(1, 90))) + "x", source.choice([None, "m", ["no", "p"]])
        )
        for _ in range(50)
    ]
    store = TokenStore.build(
        documents, cast(ConversationTokenizer, Letters()), tmp_path / "store", to_segments=document_segments
    )
    stored = StoredDocuments(store)
    metas = [{None: "", "m": "m", ("no", "p"): "no, p"}[each.meta] for each in documents]  # type: ignore[index]
    texts = [each.body for each in documents]
    limits = DocumentLimits(max_length=20, max_meta_length=3, overlap=4)
    there = DocumentWindows(stored, sep_token_id=SEP, limits=limits)
    memory = EncodedDocuments(Letters().encode_many(metas), Letters().encode_many(texts))
    here = DocumentWindows(memory, sep_token_id=SEP, limits=limits)
    assert plain(there.read(range(len(there)))) == plain(here.read(range(len(here))))
    assert stored.words == sum(len(text.split()) for text in texts)
    assert stored.bytes == sum(len(text.encode()) for text in texts)


def test_an_empty_store_has_no_documents(tmp_path: Path) -> None:
    stored = StoredDocuments(
        TokenStore.build([], cast(ConversationTokenizer, Letters()), tmp_path / "store", to_segments=document_segments)
    )
    assert len(DocumentWindows(stored, sep_token_id=SEP, limits=DocumentLimits(max_length=20, overlap=0))) == 0
    assert stored.words == stored.bytes == 0
