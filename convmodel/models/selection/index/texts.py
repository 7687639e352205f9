"""Writing the texts, metadata and words of the candidates of an index."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convmodel.data.candidates import CandidateText
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.storage import IndexManifest
from convmodel.models.selection.lexical import encode_words


def write_texts(
    folder: Path, state: IndexManifest, known: dict[bytes, int], candidates: Iterable[CandidateText], *, batch: int
) -> tuple[int, int, str]:
    """Append the texts, metadata, words and digests of new candidates to the files of an index.

    Args:
        known: numbers of the candidates by digest of their texts; the new candidates are added.
        batch: number of candidates that will be encoded at once.

    Returns:
        The number of new candidates, the number of candidates that were skipped because their texts are known, and a
        key: a digest of everything that the vectors and their order depend on. A run can resume an interrupted run with
        the same key.
    """
    computed = (state.fingerprint, state.model_dtype, state.dtype, state.count, batch)
    key = hashlib.blake2b(repr(computed).encode(), digest_size=16)
    added = repeated = 0
    _write_words_of_older(folder, state)
    with (
        storage.append_byte_strings(folder, "texts", state.count) as append_text,
        storage.append_byte_strings(folder, "metadata", state.count) as append_metadata,
        storage.append_byte_strings(folder, "words", state.count) as append_words,
        storage.append_rows(folder / storage.DIGESTS, 16, state.count) as digests,
    ):
        for candidate in candidates:
            digest = storage.digest_text(candidate.text)
            if digest in known:
                repeated += 1
                continue
            known[digest] = state.count + added
            text = candidate.text.encode()
            metadata = b"" if candidate.metadata is None else _json(candidate.metadata)
            for data in (text, metadata):
                key.update(len(data).to_bytes(8, "little") + data)
            append_text(text)
            append_metadata(metadata)
            append_words(encode_words(candidate.text))
            digests.write(digest)
            added += 1
    return added, repeated, key.hexdigest()


def _write_words_of_older(folder: Path, state: IndexManifest) -> None:
    """Write the words of all candidates if the index is of an older version that did not store words."""
    if state.words or not state.count:
        return
    texts = storage.ByteStrings(folder, "texts", state.count)
    with storage.append_byte_strings(folder, "words", 0) as append:
        for number in range(state.count):
            append(encode_words(texts[number].decode()))


def _json(metadata: Any) -> bytes:
    try:
        return json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata {metadata!r:.80} cannot be written as JSON ({error})") from None
