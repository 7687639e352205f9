"""Conversations built from the exchanges of an episode."""

from convmodel.data.formats.base import CandidateExample, Record
from convmodel.data.formats.episode import Episode


def test_an_episode_has_turns_persona_meta_and_selections() -> None:
    episode = Episode(3)
    episode.add_text("your persona: p\npartner's persona: q\na")
    episode.add_text("b")
    episode.add_response(["c", "d"], line=4, candidates=["c", "d", "e"], meta={"id": "7"})
    episode.add_response(["f"], line=5, candidates=[], meta={})
    episode.add_text("g")
    assert episode.record() == Record(
        3,
        ["a\nb", "c\nf", "g"],
        ["p"],
        {"partner_persona": ["q"], "id": "7"},
        [CandidateExample(4, ["a\nb"], "c", ["c", "e"])],
    )


def test_a_silence_lets_the_response_begin() -> None:
    episode = Episode(1)
    episode.add_text("__SILENCE__")
    episode.add_response(["a"], line=1, candidates=["a", "b"], meta={})
    assert episode.record() == Record(1, ["a"], [], {"candidates": ["a", "b"]}, [])
