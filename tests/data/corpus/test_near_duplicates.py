"""Near-duplicates by MinHash against the similarity of the sets themselves."""

import random

from convmodel.data.corpus.near_duplicates import band_hashes, shingles


def test_similar_texts_share_a_band_and_others_do_not() -> None:
    source = random.Random(0)
    near = far = 0
    for _ in range(40):
        words = [f"w{source.randrange(10_000)}" for _ in range(60)]
        changed = list(words)
        changed[source.randrange(60)] = "changed"
        other = words[:20] + [f"v{source.randrange(10_000)}" for _ in range(40)]
        texts = [[" ".join(each)] for each in (words, changed, other)]
        sets = [shingles(text) for text in texts]
        assert len(sets[0] & sets[1]) / len(sets[0] | sets[1]) > 0.85
        assert len(sets[0] & sets[2]) / len(sets[0] | sets[2]) < 0.4
        first, second, third = map(set, band_hashes(texts, 0.8))
        near += bool(first & second)
        far += bool(first & third)
    assert near >= 36 and far <= 1


def test_case_punctuation_and_turns_do_not_count_and_short_texts_have_one_element() -> None:
    assert shingles(["Hello, my friend!", "Go on"]) == shingles(["hello my", "FRIEND go on"])
    assert shingles(["Hello"]) == {b"hello"} and shingles(["!"]) == {b""}
