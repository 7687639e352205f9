"""Bi- and poly-encoders around every kind of encoder: the layout, the contract, and their folders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    T5Config,
)

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.encoder import NewEncoder, load_encoder, new_encoder
from convmodel.models.selection.layout import RowLayout, pad_rows
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.scoring import poly_scores
from convmodel.models.selection.selector import Selector
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine

CONTEXTS = [["Hello"], ["Hello", "I am fine", "How are you?"], ["Where do you live?", "By the sea, in a small house"]]
CANDIDATES = ["I am fine", "I live by the sea", "Do you like music? Yes, I play the guitar", "No"]
PERSONAS = [[], ["I like the rain."], ["I live in a house.", "I play the piano."]]

ALL = [(cls, kind) for cls in (BiEncoder, PolyEncoder) for kind in ("bert", "distilbert", "gpt2")]


def test_types_say_who_replies_and_the_first_separator_is_the_encoders_first_token() -> None:
    row = RowLayout(9, max_context=20).context([[1], [2, 3]], [[4]])
    assert row.ids == [9, 4, 9, 1, 9, 2, 3, 9]
    assert row.types == [1, 1, 1, 1, 0, 0, 0, 1]
    layout = RowLayout(9, 8, max_context=20, max_candidate=4)
    assert layout.context([[1]]).ids == [8, 1, 9] and layout.context([[1]]).types == [0, 0, 1]
    assert layout.candidate([5, 6, 7]).ids == [8, 5, 6, 9]
    pair = layout.pair(layout.context([[1]]), [5, 6, 7])
    assert pair.ids == [8, 1, 9, 5, 6, 9] and pair.types == [0, 0, 1, 1, 1, 1]


def test_a_persona_stays_when_old_turns_are_dropped_whole() -> None:
    layout = RowLayout(9, max_context=10)
    assert layout.context([[1, 1], [2, 2], [3, 3]], [[4]]).ids == [9, 4, 9, 2, 2, 9, 3, 3, 9]
    assert layout.context([[3] * 50], [[4]]).ids == [9, 4, 9, *[3] * 6, 9]
    with pytest.raises(ValueError, match="leave no room for a turn"):
        layout.context([[3]], [[4] * 9])


@pytest.mark.parametrize(("cls", "architecture"), ALL)
def test_a_score_is_that_of_the_pair_alone_without_padding(
    make_selector: MakeSelector, cls: type[BiEncoder], architecture: str
) -> None:
    selector = make_selector(cls, architecture)
    scores = selector.score(CONTEXTS, CANDIDATES, personas=PERSONAS)
    assert scores.shape == (3, 4) and scores.dtype == torch.float32
    for b, (context, persona) in enumerate(zip(CONTEXTS, PERSONAS, strict=True)):
        for c, candidate in enumerate(CANDIDATES):
            ids = [selector.tokenizer.encode(text) for text in (*persona, *context)]
            row = selector.context_row(ids[len(persona) :], ids[: len(persona)])
            state = selector.encoders.contexts(pad_rows([row], 0))
            response = selector.encoders.candidates(
                pad_rows([selector.candidate_row(selector.tokenizer.encode(candidate))], 0)
            )
            place = -1 if architecture == "gpt2" else 0
            if isinstance(selector, PolyEncoder):
                assert selector.codes.codes is not None
                seen = (selector.codes.codes @ state[0].T).softmax(-1) @ state[0]
                expected = poly_scores(seen[None], torch.ones(1, len(seen), dtype=torch.bool), response[:, place])[0, 0]
            else:
                expected = state[0, place] @ response[0, place]
            torch.testing.assert_close(scores[b, c], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder])
def test_one_pool_for_all_pools_for_each_and_cached_candidates_score_alike(
    make_selector: MakeSelector, cls: type[BiEncoder]
) -> None:
    selector = make_selector(cls)
    scores = selector.score(CONTEXTS, CANDIDATES)
    pools = [CANDIDATES, CANDIDATES[::-1], CANDIDATES]
    expected = torch.stack([scores[0], scores[1].flip(0), scores[2]])
    torch.testing.assert_close(selector.score(CONTEXTS, pools), expected)
    cached = selector.encode_candidates(CANDIDATES)
    assert cached.shape == (4, 16)
    torch.testing.assert_close(selector.score_encoded(selector.encode_contexts(CONTEXTS), cached), scores)
    best = selector.search_encoded(selector.encode_contexts(CONTEXTS), cached, 2)
    assert best.ids.tolist() == scores.argsort(dim=1, descending=True)[:, :2].tolist()


def test_recomputing_gives_the_same_gradients(make_selector: MakeSelector) -> None:
    selector = make_selector(PolyEncoder)
    rows = [selector.context_row([selector.tokenizer.encode(text)]) for text in (*CANDIDATES, "Hello")]
    gradients = []
    for recompute in (False, True):
        selector.network.zero_grad()
        contexts = selector.encode_context_rows(rows, recompute=recompute)
        contexts.vectors.pow(2).sum().backward()
        gradients.append([p.grad.clone() for p in selector.network.parameters() if p.grad is not None])
    assert len(gradients[0]) > 10
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("cls", "architecture"), ALL)
@pytest.mark.parametrize("shared", [True, False])
def test_a_saved_selector_scores_the_same_when_loaded(
    make_selector: MakeSelector, tmp_path: Path, cls: type[BiEncoder], architecture: str, shared: bool
) -> None:
    selector = make_selector(cls, architecture, shared=shared, pooling="mean")
    selector.save_pretrained(tmp_path / "saved")
    loaded = Selector.from_pretrained(tmp_path / "saved", device="cpu", dtype="float32")
    assert type(loaded) is cls and loaded.options() == selector.options()
    assert loaded.fingerprint() == selector.fingerprint()
    assert torch.equal(loaded.score(CONTEXTS, CANDIDATES), selector.score(CONTEXTS, CANDIDATES))
    assert "score" in (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")


def test_another_kind_of_folder_is_named(make_selector: MakeSelector, tmp_path: Path) -> None:
    make_selector().save_pretrained(tmp_path / "bi")
    with pytest.raises(ValueError, match="holds a bi-encoder; load it with BiEncoder, or with Selector"):
        PolyEncoder.from_pretrained(tmp_path / "bi")
    (tmp_path / "bi" / "selector.json").write_text(json.dumps({"kind": "other"}), encoding="utf-8")
    with pytest.raises(ValueError, match="is not what this version saves"):
        Selector.from_pretrained(tmp_path / "bi")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no selector\.json"):
        Selector.from_pretrained(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a model of transformers, .* not one that chooses"):
        Selector.from_pretrained(tmp_path / "empty")


@pytest.mark.parametrize("cls", [BiEncoder, CrossEncoder])
def test_neither_where_an_encoder_came_from_nor_the_version_of_a_library_makes_another_model(
    tokenizer: ConversationTokenizer, tmp_path: Path, cls: type[BiEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index is refused to another model: an update of transformers must not make all of them worthless."""
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = BertModel(BertConfig(vocab_size=len(tokenizer), intermediate_size=32, pad_token_id=None, **sizes))
    for name in ("here", "there"):
        network.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    torch.manual_seed(0)
    selector = cls.from_encoder(tmp_path / "here")
    mine = selector.fingerprint()
    assert str(tmp_path) not in json.dumps(selector.options())
    monkeypatch.setattr("transformers.configuration_utils.__version__", "99.0")
    assert selector.fingerprint() == mine
    torch.manual_seed(0)
    assert cls.from_encoder(tmp_path / "there").fingerprint() == mine


def test_no_contexts_have_no_scores_and_cannot_be_encoded(make_selector: MakeSelector) -> None:
    assert make_selector().score([], CANDIDATES).shape == (0, 4)
    with pytest.raises(ValueError, match="there are no contexts; give at least one"):
        make_selector().encode_contexts([])


def test_what_is_wrong_with_a_folder_or_a_type_is_told(make_selector: MakeSelector, tmp_path: Path) -> None:
    make_selector().save_pretrained(tmp_path)
    for dtype in ("nonsense", "relu", "int32"):
        with pytest.raises(ValueError, match=f"dtype='{dtype}'; allowed are auto, float32, bfloat16"):
            Selector.from_pretrained(tmp_path, dtype=dtype)
    whole = (tmp_path / "selector.json").read_text(encoding="utf-8")
    for options in ({}, {"encoder": {"model_type": "bert"}, "shared": True, "unknown": 1}):
        (tmp_path / "selector.json").write_text(json.dumps({"kind": "bi-encoder", "options": options}))
        with pytest.raises(ValueError, match=r"selector\.json: is not what this version saves"):
            Selector.from_pretrained(tmp_path)
    (tmp_path / "selector.json").write_text(whole, encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"no weights" * 9)
    with pytest.raises(ValueError, match=r"model\.safetensors: is damaged .*; copy or train the model anew"):
        Selector.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        Selector.from_pretrained(tmp_path)


def test_encoders_are_loaded_from_folders_of_transformers(tokenizer: ConversationTokenizer, tmp_path: Path) -> None:
    size = len(tokenizer)
    sizes: dict[str, Any] = {"vocab_size": size, "max_position_embeddings": 32, "pad_token_id": None}
    models = {
        "bert": BertModel(
            BertConfig(**sizes, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
        ),
        "distilbert": DistilBertModel(DistilBertConfig(**sizes, n_layers=1, n_heads=2, dim=16, hidden_dim=32)),
        "gpt2": GPT2Model(GPT2Config(vocab_size=size, n_positions=32, n_layer=1, n_head=2, n_embd=16)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        selector = BiEncoder.from_encoder(tmp_path / name, max_context=30, max_candidate=10)
        assert selector.pooling == ("last" if name == "gpt2" else "first")
        theirs, ours = model.state_dict(), selector.encoders.contexts.hf_model.state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        assert selector.score([["Hello"]], ["I am fine"]).shape == (1, 1)
        with pytest.raises(ValueError, match="max_context=360; this encoder reads 3 to 32 tokens"):
            BiEncoder.from_encoder(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_encoder(tmp_path / "nothing")
    with pytest.raises(ValueError, match="'t5' has an encoder and a decoder"):
        new_encoder(T5Config(vocab_size=8, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2))
    with pytest.raises(ValueError, match="heads=3 does not divide width=16"):
        NewEncoder(heads=3, width=16).config(tokenizer)


def test_positions_that_a_roberta_does_not_use_are_not_counted(tokenizer: ConversationTokenizer) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=len(tokenizer), intermediate_size=32, max_position_embeddings=34, **sizes)
    with pytest.raises(ValueError, match="max_context=33; this encoder reads 3 to 32 tokens"):
        BiEncoder(new_encoder(config), tokenizer, max_context=33, max_candidate=10)
    selector = BiEncoder(new_encoder(config), tokenizer, max_context=32, max_candidate=10)
    assert selector.score([["Hello " * 99]], CANDIDATES).isfinite().all()


def test_what_is_asked_wrongly_is_told(make_selector: MakeSelector) -> None:
    selector = make_selector()
    with pytest.raises(TypeError, match="give a list of contexts, each a list of turns"):
        selector.score(["Hello"], CANDIDATES)
    with pytest.raises(ValueError, match="there are no candidates"):
        selector.score(CONTEXTS, [])
    with pytest.raises(ValueError, match=r"2 pools of \[1, 2\] candidates for 3 contexts"):
        selector.score(CONTEXTS, [["a"], ["b", "c"]])
    with pytest.raises(ValueError, match="1 personas for 3 contexts"):
        selector.score(CONTEXTS, CANDIDATES, personas=[["I am."]])
    with pytest.raises(ValueError, match="there are no turns"):
        selector.encode_contexts([[]])


def test_what_a_later_transformers_adds_to_a_configuration_changes_no_fingerprint(
    make_selector: MakeSelector, tmp_path: Path
) -> None:
    selector = make_selector(BiEncoder)
    selector.save_pretrained(tmp_path)
    loaded = Selector.from_pretrained(tmp_path)
    assert loaded.fingerprint() == selector.fingerprint()
    file = tmp_path / "selector.json"
    saved = json.loads(file.read_text())
    del saved["options"]["encoder"]["chunk_size_feed_forward"]  # as though it had come with a later version
    file.write_text(json.dumps(saved))
    older = Selector.from_pretrained(tmp_path)
    assert json.loads(json.dumps(older.options())) == saved["options"]
    older.save_pretrained(tmp_path / "again")
    assert Selector.from_pretrained(tmp_path / "again").fingerprint() == older.fingerprint()
