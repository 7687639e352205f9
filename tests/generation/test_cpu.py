"""What this CPU can compute, and how it decides as another."""

import pytest

from convmodel.generation.cpu import cpu_supports, has_vnni, override

pytestmark = pytest.mark.machine


def test_a_variable_disables_8_bit_products_but_cannot_enable_missing_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONVMODEL_VNNI", "0")
    assert not has_vnni()
    monkeypatch.setenv("CONVMODEL_VNNI", "1")
    monkeypatch.setattr("convmodel.generation.cpu.cpu_supports", lambda *_: False)
    with pytest.raises(ValueError, match="this CPU has no VNNI"):
        has_vnni()


def test_an_unset_or_empty_variable_has_no_effect_and_other_values_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CONVMODEL_VNNI", raising=False)
    assert override("CONVMODEL_VNNI") is None
    assert has_vnni() == cpu_supports("_is_vnni_supported")
    monkeypatch.setenv("CONVMODEL_VNNI", "")
    assert override("CONVMODEL_VNNI") is None
    monkeypatch.setenv("CONVMODEL_VNNI", "yes")
    with pytest.raises(ValueError, match="CONVMODEL_VNNI=yes; allowed are 1"):
        override("CONVMODEL_VNNI")


def test_a_check_that_this_torch_lacks_is_not_passed() -> None:
    assert not cpu_supports("_is_a_check_of_another_torch")
