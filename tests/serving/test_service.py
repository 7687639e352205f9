"""Construction of services."""

from pathlib import Path

from convmodel.serving.service import Service
from convmodel.serving.store import Store
from tests.fakes import FakeDocuments, FakeResponder


def test_a_service_has_the_abilities_of_its_models() -> None:
    responder, writer = FakeResponder(), FakeDocuments()
    both = Service(responder, writer=writer)
    assert both.replies is not None and both.documents is not None and not both.searches
    assert both.talker is responder and Service(writer=writer).talker is writer
    assert Service(writer=writer).replies is None and Service().presets == {}


def test_a_service_with_a_store_checks_it(tmp_path: Path) -> None:
    service = Service(FakeResponder(), store=Store(str(tmp_path / "store.db")))
    service.ready["store"]()
    service.close()
