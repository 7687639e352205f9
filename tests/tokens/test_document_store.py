"""Documents of a token store, against the same documents in memory."""

import random
from pathlib import Path
from typing import cast

from convmodel.data.document import Document
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.document_layout import DocumentLimits, DocumentSequence
from convmodel.tokens.document_store import StoredDocuments, to_segments
from convmodel.tokens.document_windows import DocumentWindows, EncodedDocuments
from convmodel.tokens.store import TokenStore

SEP = 0

Window = tuple[list[int], list[int]]


def plain(rows: list[DocumentSequence]) -> list[Window]:
    return [(row.input_ids.tolist(), row.labels.tolist()) for row in rows]


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
        documents, cast(ConversationTokenizer, Letters()), tmp_path / "store", to_segments=to_segments
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
        TokenStore.build([], cast(ConversationTokenizer, Letters()), tmp_path / "store", to_segments=to_segments)
    )
    assert len(DocumentWindows(stored, sep_token_id=SEP, limits=DocumentLimits(max_length=20, overlap=0))) == 0
    assert stored.words == stored.bytes == 0
