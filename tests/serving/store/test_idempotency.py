from convmodel.serving.store import Store, conversations, idempotency
from convmodel.serving.store.idempotency import IdempotencyRecord
from tests.serving.store.helpers import create


def test_an_answer_is_found_under_its_key_until_it_is_deleted(store: Store) -> None:
    created = create(store)
    before = IdempotencyRecord("digest", created.id, 2, {"text": "x"}, None)
    store.write(idempotency.begin, "anna", "k" * 300, before)
    assert store.read(idempotency.find, "anna", "k" * 300) == before
    assert store.read(idempotency.find, "bob", "k" * 300) is None
    store.write(idempotency.finish, "anna", "k" * 300, {"turn": 1})
    record = store.read(idempotency.find, "anna", "k" * 300)
    assert record is not None and record.answer == {"turn": 1}
    assert store.write(idempotency.forget, before=2**60) == 1
    store.write(idempotency.begin, "anna", "k", before)
    store.write(conversations.remove, "anna", created.id)
    assert store.read(idempotency.find, "anna", "k") is None
