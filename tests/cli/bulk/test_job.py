"""Digests of models and candidates."""

from pathlib import Path

import pytest

from convmodel.cli.bulk.job import files_digest, folder_digest


def test_the_digest_of_a_model_changes_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"1")
    (tmp_path / "README.md").write_bytes(b"1")
    before = folder_digest(str(tmp_path))
    (tmp_path / "README.md").write_bytes(b"2")
    assert folder_digest(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert folder_digest(str(tmp_path)) != before
    assert folder_digest("gpt2") == "gpt2"


def test_the_digest_of_files_is_that_of_all_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "vectors.bin").write_bytes(b"1")
    digests = [files_digest(str(folder))]
    (folder / "deep" / "vectors.bin").write_bytes(b"2")
    digests.append(files_digest(str(folder)))
    (folder / "deep" / "vectors.bin").rename(folder / "vectors.bin")
    digests += [files_digest(str(folder)), files_digest(str(folder / "vectors.bin"))]
    assert len(set(digests)) == 4 and files_digest(str(folder)) == digests[2]
    with pytest.raises(FileNotFoundError):
        files_digest(str(tmp_path / "none"))
