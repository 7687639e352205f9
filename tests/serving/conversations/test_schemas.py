"""Bodies of the conversation routes."""

from convmodel.serving.conversations.schemas import iso_time
from tests.serving.talking import Talk


def test_conversations_are_listed_in_pages_with_a_preview_of_the_last_turn(talk: Talk) -> None:
    ids = [talk.create(title=f"title {n}") for n in range(3)]
    talk.say(ids[0], "x" * 500)
    first = talk.http.get("/conversations", params={"limit": 2}).json()
    second = talk.http.get("/conversations", params={"limit": 2, "before": first["next"]}).json()
    assert [listed["id"] for listed in first["conversations"] + second["conversations"]] == ids[::-1]
    assert second["next"] is None
    last = second["conversations"][0]
    assert (last["last"], last["turn_count"], last["waiting"], "turns" in last) == ("x" * 100, 2, False, False)
    assert first["conversations"][0]["last"] is None
    for params in ({"before": "x"}, {"limit": 0}, {"limit": 201}):
        refused = talk.http.get("/conversations", params=params)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, next(iter(params)))


def test_times_are_iso_8601_in_utc_with_all_microseconds() -> None:
    assert iso_time(1_700_000_000_000_007) == "2023-11-14T22:13:20.000007Z"
