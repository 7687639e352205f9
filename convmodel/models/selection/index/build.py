"""Texts and a model in, a folder with an index of them out; what a killed process encoded counts."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from convmodel.data.atomic import atomic_file
from convmodel.data.candidates import CandidateText
from convmodel.models.selection.index import storage as files
from convmodel.models.selection.index.hnsw_build import with_graph
from convmodel.models.selection.index.index import check_model, encoding
from convmodel.models.selection.selector import Selector

BATCH = 2_048
"""Candidates that are encoded, and then kept, at once; the model is given those of like length together."""

Encoded = Callable[[int, int], object]
"""Called with how many candidates are encoded, and of how many."""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What came of building.

    Args:
        added: how many candidates are new.
        repeated: how many were left out because their text was there already, white space at the ends aside.
        resumed: how many of the new ones an earlier run had encoded.
        state: what is so now.
    """

    added: int
    repeated: int
    resumed: int
    state: files.IndexManifest


def build_index(
    selector: Selector,
    candidates: Iterable[CandidateText],
    folder: str | os.PathLike[str],
    *,
    append: bool = False,
    dtype: str = "float32",
    batch: int = BATCH,
    approximately: bool | None = None,
    progress: Encoded = lambda done, total: None,
) -> BuildResult:
    """Makes an index, or adds to one.

    Nothing of an older index changes until all is encoded; then `index.json` is replaced. After a kill, the same call
    goes on where it was. Of equal texts, white space at the ends aside, the first stays.

    Args:
        selector: encodes the candidates.
        candidates: read once; they are not held in memory.
        folder: where the index is to be, or is.
        append: add to the index that is there, which was made with the same model.
        dtype: "float32", or "float16" for half the space: scores are exact for the vectors as they are kept.
        batch: candidates that are encoded, and then kept, at once.
        approximately: whether search is to be approximate; None is from a million on, for models with one vector for
            each context. It needs usearch, and is made anew each time.
        progress: is told how far it is.

    Raises:
        ValueError: for another model, a model that does not encode candidates alone, vectors that are not finite, or
            another process at work there.
        FileExistsError: for an index that is there without `append`, or a folder of something else.
    """
    model, where = encoding(selector), Path(folder)
    if dtype not in ("float32", "float16") or batch < 1:
        raise ValueError(f"dtype={dtype!r}, batch={batch}; allowed are float32 and float16, and at least 1")
    before = _before(where, selector, append=append, dtype=dtype)
    candidates = _begun(candidates, needed=not before.count)
    where.mkdir(parents=True, exist_ok=True)
    with files.locked(where):
        if (files.read_state(where) if (where / files.INDEX).is_file() else None) != (before if before.count else None):
            raise ValueError(f"{where}: another process changed this index just now; give the command once more")
        known = _known(where, before)
        work = _write_texts(where, before, known, candidates, batch=batch)
        width = before.width
        done = 0
        if work.added:
            done = _done(where, work)
            width = _encode(model, where, before, work, done, batch=batch, progress=progress)
        state = replace(before, count=before.count + work.added, width=width)
        state = with_graph(where, state, before, selector, approximately)
        state.write(where)
        (where / files.PENDING).unlink(missing_ok=True)
    return BuildResult(work.added, work.repeated, done, state)


def remove_candidates(
    folder: str | os.PathLike[str],
    selector: Selector,
    *,
    numbers: Iterable[int] = (),
    texts: Iterable[str] = (),
) -> files.IndexManifest:
    """Removes candidates from an index; those that stay keep their numbers, and nothing is encoded again.

    Args:
        folder: the index.
        selector: the model that it was made with.
        numbers: of candidates.
        texts: of candidates, white space at the ends aside.

    Raises:
        FileNotFoundError: when there is no index.
        ValueError: for a number or a text that is none of its candidates; nothing is removed then.
    """
    where = Path(folder)
    files.read_state(where)
    with files.locked(where):
        state = files.read_state(where)
        check_model(where, state, selector)
        gone = set(files.removed_numbers(state, where).tolist())
        known = _known(where, state)
        chosen = set()
        for number in numbers:
            if number in gone:
                raise ValueError(f"{where}: there is no candidate {number} any more: it was removed; leave it out")
            if not 0 <= number < state.count:
                raise ValueError(f"{where}: there is no candidate {number}; its numbers are below {state.count:,}")
            chosen.add(number)
        for text in texts:
            if (found := known.get(_digest(text))) is None:
                raise ValueError(f"{where}: there is no candidate {text!r:.80}; leave it out")
            chosen.add(found)
        state = files.with_removed(state, where, np.array(sorted(chosen), dtype=np.int64))
        state.write(where)
    return state


# What is to be done


@dataclass(frozen=True, slots=True)
class _Work:
    """Candidates to be encoded: from number `first` on.

    Args:
        key: the same when, and only when, the same texts are encoded in the same way to the same places.
    """

    first: int
    added: int
    repeated: int
    key: str


def _before(folder: Path, selector: Selector, *, append: bool, dtype: str) -> files.IndexManifest:
    """What is so before anything is done; nothing where there is no index yet."""
    if (folder / files.INDEX).is_file():
        if not append:
            raise FileExistsError(f"{folder}: is an index already; add to it (--append), or remove it first")
        state = files.read_state(folder)
        check_model(folder, state, selector)
        if state.model_dtype != selector.dtype:
            raise ValueError(
                f"{folder}: its vectors were computed in {state.model_dtype}, and this model is loaded in "
                f"{selector.dtype}; load it with --dtype {state.model_dtype}, or make the index anew"
            )
        if dtype not in ("float32", state.dtype):
            raise ValueError(f"{folder}: its vectors are {state.dtype}, and {dtype} is asked for; leave that out")
        return state
    if append and not (folder / files.PENDING).is_file():
        raise FileNotFoundError(f"{folder}: there is no index to add to; leave --append out")
    strange = folder.is_dir() and any(not files.is_ours(path.name) for path in folder.iterdir())
    if folder.is_file() or strange:
        raise FileExistsError(f"{folder}: is no index, and something is there; give another name")
    return files.IndexManifest(selector.kind, selector.fingerprint(), selector.dtype, 0, dtype)


def _begun(candidates: Iterable[CandidateText], *, needed: bool) -> Iterable[CandidateText]:
    """The same, read as far as the first one: where there is none, nothing is made."""
    rest = iter(candidates)
    first = list(islice(rest, 1))
    if needed and not first:
        raise ValueError("there are no candidates; give at least one")
    return chain(first, rest)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.strip().encode(), digest_size=16).digest()


def _known(folder: Path, state: files.IndexManifest) -> dict[bytes, int]:
    """The numbers of candidates that are there, by the digests of their texts."""
    digests = files.mapped(folder / files.DIGESTS, files.DIGEST, (state.count,)).tobytes()
    numbers = {digests[16 * number : 16 * number + 16]: number for number in range(state.count)}
    for number in files.removed_numbers(state, folder).tolist():
        digest = digests[16 * number : 16 * number + 16]
        if numbers.get(digest) == number:  # otherwise the text came back under a new number
            del numbers[digest]
    return numbers


def _write_texts(
    folder: Path,
    state: files.IndexManifest,
    known: dict[bytes, int],
    candidates: Iterable[CandidateText],
    *,
    batch: int,
) -> _Work:
    """Writes what is new behind what is there."""
    computed = (state.fingerprint, state.model_dtype, state.dtype, state.count, batch)
    key = hashlib.blake2b(repr(computed).encode(), digest_size=16)
    added = repeated = 0
    with (
        files.PieceWriter(folder, "texts", state.count) as texts,
        files.PieceWriter(folder, "metadata", state.count) as metadata,
        files.AppendOnlyFile(folder / files.DIGESTS, 16, state.count) as digests,
    ):
        for candidate in candidates:
            digest = _digest(candidate.text)
            if digest in known:
                repeated += 1
                continue
            known[digest] = state.count + added
            text = candidate.text.encode()
            about = b"" if candidate.metadata is None else _json(candidate.metadata)
            for piece in (text, about):
                key.update(len(piece).to_bytes(8, "little") + piece)
            texts.add(text)
            metadata.add(about)
            digests.add(digest)
            added += 1
    return _Work(state.count, added, repeated, key.hexdigest())


def _json(metadata: Any) -> bytes:
    try:
        return json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata {metadata!r:.80} cannot be written as JSON ({error})") from None


# Encoding


def _done(folder: Path, work: _Work) -> int:
    """How many of them an earlier run encoded."""
    try:
        found = json.loads((folder / files.PENDING).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0
    return min(int(found["done"]), work.added) if found.get("key") == work.key else 0


def _encode(
    model: Any, folder: Path, state: files.IndexManifest, work: _Work, done: int, *, batch: int, progress: Encoded
) -> int:
    """Encodes what is left, a batch at a time; returns D."""
    texts = files.ByteStrings(folder, "texts", work.first + work.added)
    width = state.width or _pending_width(folder, done)
    progress(done, work.added)
    rows: files.AppendOnlyFile | None = None
    try:
        while done < work.added:
            stop = min(done + batch, work.added)
            some = [texts[work.first + number].decode() for number in range(done, stop)]
            vectors = _vectors(model, some, state.dtype, first=work.first + done)
            width = vectors.shape[1]
            if rows is None:
                rows = files.AppendOnlyFile(folder / files.VECTORS, vectors[0].nbytes, work.first + done)
            rows.add(vectors.data)
            rows.sync()
            done = stop
            with atomic_file(folder / files.PENDING) as fresh:
                fresh.write_text(json.dumps({"key": work.key, "done": done, "width": width}), encoding="utf-8")
            progress(done, work.added)
    finally:
        if rows is not None:
            rows.close()
    return width


def _pending_width(folder: Path, done: int) -> int:
    return int(json.loads((folder / files.PENDING).read_text(encoding="utf-8"))["width"]) if done else 0


def _vectors(model: Any, texts: list[str], dtype: str, *, first: int) -> np.ndarray:
    encoded = model.encode_candidates(texts).float().cpu().numpy()
    with np.errstate(over="ignore"):  # looked for below
        vectors: np.ndarray = np.ascontiguousarray(encoded, dtype=np.dtype(dtype))
    finite = np.isfinite(vectors).all(1)
    if not finite.all():
        number = int(np.argmin(finite))
        raise ValueError(
            f"the vector of candidate {first + number}, {texts[number]!r:.60}, is not finite in {dtype}; "
            "the model is broken, or its numbers are too large for that type"
        )
    return vectors
