"""Number of keys that a token reads from the cache."""

from convmodel.generation.kv_cache import num_keys


def test_the_keys_that_a_token_reads_are_its_own_and_leave_every_thread_aligned() -> None:
    for width in (4, 16, 64, 80, 128):
        read = [num_keys(place, width) for place in range(2_000)]
        for place, keys in enumerate(read):
            assert keys is None or (place < keys <= 512 and (keys + 2 + width) % 16 == 0)
        assert read[0] is not None and read[512] is None
        assert read.index(None) > 380 and not any(read[read.index(None) :])
