"""The command convert-weights."""

from pathlib import Path

import pytest
import torch

from convmodel.__main__ import main
from convmodel.models.conversation_model import ConversationModel


@pytest.mark.slow
def test_a_folder_is_converted_and_the_next_step_is_told(
    model: ConversationModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pickled"
    output = tmp_path / "out"
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.hf_model.state_dict(), folder / "pytorch_model.bin")
    assert not main(["convert-weights", str(folder), str(output)])
    out = capsys.readouterr().out
    assert f"{output}: {len(model.hf_model.state_dict())} tensors converted" in out
    assert f"next: python -m convmodel chat --model {output}" in out
    assert ConversationModel.from_pretrained(output, "cpu").generate(["Hello"]).responses
    with pytest.raises(SystemExit):
        main(["convert-weights", str(folder), str(output)])
    assert capsys.readouterr().err == f"error: {output}: is not empty; give a new folder\n"
