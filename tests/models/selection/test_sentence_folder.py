"""Folders of sentence-transformers, compared with that library."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.selector import Selector
from tests.weights import real_weights

pytestmark = pytest.mark.machine

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *["hello", "where", "do", "you", "live", "by", "the", "sea", "query", "passage", ":", "no"],
]
CONTEXTS = ["hello where do you live", "no", "the sea"]
CANDIDATES = ["by the sea", "you do", "no no no hello"]


@pytest.fixture
def transformer(tmp_path: Path) -> Path:
    """A folder of a tiny BERT with random weights."""
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=24).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    return folder


def saved(transformer: Path, *, pooling: str = "mean", normalize: bool = True, **options: Any) -> tuple[Path, Any]:
    """Return a folder that sentence-transformers has saved, and its model."""
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer import modules

    parts = [modules.Transformer(str(transformer)), modules.Pooling(16, pooling)]
    model = library.SentenceTransformer(modules=[*parts, *([modules.Normalize()] if normalize else [])], **options)
    folder = transformer.parent / "sentences"
    model.save(str(folder))
    return folder, model


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
@pytest.mark.parametrize("prompts", [{}, {"query": "query: ", "document": "passage: "}])
def test_scores_are_twenty_times_the_cosine_of_sentence_transformers(
    transformer: Path, pooling: str, prompts: dict[str, str]
) -> None:
    folder, model = saved(transformer, pooling=pooling, prompts=prompts)
    selector = BiEncoder.from_encoder(folder)
    scores = selector.score([[text] for text in CONTEXTS], CANDIDATES) / 20
    expected = (
        model.encode_query(CONTEXTS, convert_to_tensor=True)
        @ model.encode_document(CANDIDATES, convert_to_tensor=True).T
    )
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    selector.save_pretrained(folder.parent / "selector")
    again = Selector.from_pretrained(folder.parent / "selector", device="cpu")
    assert torch.equal(again.score([[text] for text in CONTEXTS], CANDIDATES) / 20, scores)
    assert again.fingerprint() == selector.fingerprint()


def test_without_normalization_the_similarity_decides(transformer: Path) -> None:
    folder, model = saved(transformer, normalize=False, similarity_fn_name="dot")
    scores = BiEncoder.from_encoder(folder).score([[text] for text in CONTEXTS], CANDIDATES)
    expected = torch.tensor(model.encode(CONTEXTS) @ model.encode(CANDIDATES).T)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-5)


def test_every_architecture_starts_from_the_folder_and_given_options_win(transformer: Path) -> None:
    folder, _ = saved(transformer)
    lengths = {"max_context": 24, "max_candidate": 24}
    assert BiEncoder.from_encoder(folder).options().items() >= {**lengths, "pooling": "mean"}.items()
    assert BiEncoder.from_encoder(folder, cosine_scale=None, pooling="max").options()["cosine_scale"] is None
    poly = PolyEncoder.from_encoder(folder, num_codes=2)
    assert poly.cosine_scale == 20 and not poly.layout.speaker_types
    poly.save_pretrained(folder.parent / "poly")
    cross = CrossEncoder.from_encoder(folder.parent / "poly", max_context=30, max_candidate=20)
    assert cross.pooling == "mean" and set(cross.context_row([[5], [6]], [[7]]).types) == {0}


def test_what_a_selector_lacks_is_refused(transformer: Path) -> None:
    folder, _ = saved(transformer, pooling="weightedmean")
    with pytest.raises(
        ValueError, match=r"1_Pooling/config.json: the pooling is \['weightedmean'\]; supported is one of"
    ):
        BiEncoder.from_encoder(folder)
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, dense]))
    with pytest.raises(ValueError, match="has the modules Transformer, Pooling, Normalize, Dense; supported"):
        BiEncoder.from_encoder(folder)


def test_a_pooling_of_older_versions_is_read(transformer: Path) -> None:
    folder, _ = saved(transformer)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12}))
    selector = BiEncoder.from_encoder(folder)
    assert selector.pooling == "max" and selector.layout.max_context == 12


@pytest.mark.weights
def test_minilm_scores_as_in_sentence_transformers() -> None:
    library = pytest.importorskip("sentence_transformers")
    folder = real_weights("*minilm*")
    texts = ["How do I install a package?", "Use apt-get install, then reboot.", "I love the sea!"]
    model = library.SentenceTransformer(str(folder), device="cpu")
    expected = torch.tensor(model.encode(texts) @ model.encode(texts).T)
    scores = BiEncoder.from_encoder(folder).score([[text] for text in texts], texts) / 20
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
