"""Building an index of encoded candidates, and adding and removing candidates. Interrupted builds can be resumed."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from convmodel.data.candidates import CandidateText
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.encoding import EncoderWorkers, EncodingJob, Progress, encode
from convmodel.models.selection.index.hnsw_build import update_graph
from convmodel.models.selection.index.index import check_model, require_encoder
from convmodel.models.selection.index.storage import IndexManifest
from convmodel.models.selection.index.texts import write_texts
from convmodel.models.selection.selector import Selector

BATCH = 2_048
"""Number of candidates encoded and then written at once; the model divides them into batches of similar length."""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The result of building an index.

    Args:
        added: number of new candidates.
        repeated: number of candidates skipped because their texts repeat earlier ones.
        resumed: number of new candidates that an interrupted run had already encoded.
        state: the new manifest.
    """

    added: int
    repeated: int
    resumed: int
    state: IndexManifest


def build_index(
    selector: Selector,
    candidates: Iterable[CandidateText],
    folder: str | os.PathLike[str],
    *,
    append: bool = False,
    dtype: str = "float32",
    batch: int = BATCH,
    approximately: bool | None = None,
    progress: Progress = lambda done, total: None,
    workers: EncoderWorkers | None = None,
) -> BuildResult:
    """Build an index, or add candidates to one.

    An existing index does not change until all candidates are encoded; then `index.json` is replaced. If the process is
    killed, the same call resumes the build. Of texts that are equal when stripped of white space, the first is kept.

    Args:
        candidates: the candidates; read once, not held in memory.
        append: whether to add to an existing index, which was built with the same model.
        dtype: "float32", or "float16" for half the space; scores are exact for the stored vectors.
        batch: number of candidates encoded and then written at once.
        approximately: whether to build a graph for approximate search. None keeps an existing graph, and builds one
            from a million candidates on for models with one vector per context. The graph needs usearch, and is rebuilt
            whenever candidates are added.
        progress: called after each batch with the numbers of candidates encoded so far and to encode.
        workers: processes that encode the batches; None encodes them in this process. The index is the same.

    Raises:
        ValueError: for an index of another model, a model that does not encode candidates separately, vectors that are
            not finite, or an index that another process is changing.
        FileExistsError: for an existing index without `append`, or a folder with other files.
    """
    model = require_encoder(selector)
    path = Path(folder)
    if dtype not in storage.DTYPES or batch < 1:
        raise ValueError(f"dtype={dtype!r}, batch={batch}; allowed are float32 and float16, and at least 1")
    before = _initial_state(path, selector, append=append, dtype=dtype)
    remaining = iter(candidates)
    first = list(islice(remaining, 1))  # read before anything is created
    if not first and not before.count:
        raise ValueError("there are no candidates; give at least one")
    path.mkdir(parents=True, exist_ok=True)
    with storage.locked(path):
        current = storage.read_state(path) if (path / storage.INDEX).is_file() else None
        if current != (before if before.count else None):
            raise ValueError(f"{path}: another process changed this index just now; run the command again")
        known = storage.known_texts(before, path)
        added, repeated, key = write_texts(path, before, known, chain(first, remaining), batch=batch)
        resumed = 0
        width = before.width
        if added and model is not None:
            resumed, width = encode(model, EncodingJob(path, before, added, key, batch), progress, workers)
        state = replace(before, count=before.count + added, width=width, words=True)
        if model is not None:
            state = update_graph(path, state, before, model, approximately)
        state.write(path)
        (path / storage.PENDING).unlink(missing_ok=True)
    return BuildResult(added, repeated, resumed, state)


def remove_candidates(
    folder: str | os.PathLike[str], selector: Selector, *, numbers: Iterable[int] = (), texts: Iterable[str] = ()
) -> IndexManifest:
    """Remove candidates from an index; the others keep their numbers, and nothing is encoded again.

    Args:
        numbers: numbers of candidates to remove.
        texts: texts of candidates to remove, compared after stripping white space.

    Raises:
        FileNotFoundError, ValueError: when there is no index, it was built with another model, or a number or text is
            unknown; then nothing is removed.
    """
    path = Path(folder)
    storage.read_state(path)
    with storage.locked(path):
        state = storage.read_state(path)
        check_model(path, state, selector)
        removed = set(storage.removed_numbers(state, path).tolist())
        known = storage.known_texts(state, path)
        chosen = set()
        for number in numbers:
            if number in removed:
                raise ValueError(f"{path}: candidate {number} was removed earlier; leave it out")
            if not 0 <= number < state.count:
                raise ValueError(f"{path}: there is no candidate {number}; its numbers are below {state.count:,}")
            chosen.add(number)
        for text in texts:
            if (match := known.get(storage.digest_text(text))) is None:
                raise ValueError(f"{path}: there is no candidate {text!r:.80}; leave it out")
            chosen.add(match)
        state = storage.with_removed(state, path, sorted(chosen))
        state.write(path)
    return state


def _initial_state(folder: Path, selector: Selector, *, append: bool, dtype: str) -> IndexManifest:
    """Return the manifest before the build; if there is no index yet, a manifest without candidates."""
    if (folder / storage.INDEX).is_file():
        if not append:
            raise FileExistsError(f"{folder}: is an index already; add to it (--append), or remove it first")
        state = storage.read_state(folder)
        check_model(folder, state, selector)
        if state.model_dtype != selector.dtype:
            raise ValueError(
                f"{folder}: its vectors were computed in {state.model_dtype}, and this model is loaded in "
                f"{selector.dtype}; load it with --dtype {state.model_dtype}, or rebuild the index"
            )
        if dtype not in ("float32", state.dtype):
            raise ValueError(f"{folder}: its vectors are {state.dtype}, and {dtype} was requested; omit that option")
        return state
    if append and not (folder / storage.PENDING).is_file():
        raise FileNotFoundError(f"{folder}: there is no index to add to; leave --append out")
    foreign = folder.is_dir() and any(not storage.is_index_file(path.name) for path in folder.iterdir())
    if folder.is_file() or foreign:
        raise FileExistsError(f"{folder}: exists and is not an index; choose another path")
    encoder = selector.indexer
    return IndexManifest(encoder.kind, encoder.fingerprint(), encoder.dtype, 0, dtype)
