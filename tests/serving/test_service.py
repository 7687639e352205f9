"""Construction of services."""

from pathlib import Path

from convmodel.serving.service import new_service
from convmodel.serving.store import Store
from tests.fakes import FakeDocuments, FakeResponder


def test_a_service_has_what_its_models_can_do() -> None:
    responder, writer = FakeResponder(), FakeDocuments()
    both = new_service(responder, writer=writer)
    assert both.replies is not None and both.documents is not None and not both.searches
    assert both.talker is responder and new_service(writer=writer).talker is writer
    assert new_service(writer=writer).replies is None and new_service().presets == {}


def test_a_service_with_a_store_checks_it(tmp_path: Path) -> None:
    service = new_service(FakeResponder(), store=Store(str(tmp_path / "store.db")))
    service.ready["store"]()
    service.close()
