"""Training in Python: `model.fit(train, valid)` runs the same modules, data modules and callbacks as the command."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Trainer
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.utilities import rank_zero_info

import convmodel.training as training
from convmodel.generation.int8 import is_int8
from convmodel.models.card import ModelCard
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.language_model import LanguageModel
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.convert.model import Convert
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.selector import Selector
from convmodel.models.trainable import Data
from convmodel.training.data_in_memory import to_files
from convmodel.training.export import ExportableModule
from convmodel.training.fit_cli import FitCLI, contained
from convmodel.training.fit_result import FitRecorder, FitResult
from convmodel.training.option_places import holds_objects, place_options
from convmodel.training.run_logs import capture_logs

AnyModel = LanguageModel[Any] | Selector

MODULES: dict[type, tuple[str, str, str]] = {
    ConversationModel: ("ConversationModule", "ConversationDataModule", "from_scratch"),
    DocumentModel: ("DocumentModule", "DocumentDataModule", "from_scratch"),
    PolyEncoder: ("PolyEncoderModule", "SelectionDataModule", "new_encoder"),
    BiEncoder: ("BiEncoderModule", "SelectionDataModule", "new_encoder"),
    CrossEncoder: ("CrossEncoderModule", "SelectionDataModule", "new_encoder"),
    Convert: ("ConvertModule", "SelectionDataModule", "sizes"),
}
"""For each class of model: its module, its data module, and the option with the sizes of a new model."""

IN_MEMORY = "{} in memory"
"""Name of data, or of a fine-tuned model, in messages and model cards if it has no path and no name."""


def fit_model(model: AnyModel, train: Data, valid: Data | None, /, **options: Any) -> FitResult:
    """Train a model in place; see `Trainable.fit`."""
    if isinstance(model, LanguageModel) and is_int8(model.hf_model):
        raise ValueError('a model in int8 cannot be trained; load it with dtype="float32"')
    with tempfile.TemporaryDirectory(prefix="convmodel-") as temporary:
        start = Path(temporary) / "start"
        run = PythonRun(type(model), train, valid, Path(temporary), options)
        model.save_pretrained(start)
        folder, result = run.run(start=start, base_model=_name_of(model))
        _replace(model, folder)
    return result


def new_model(
    cls: type[AnyModel], train: Data, valid: Data | None, /, *, size: Mapping[str, Any] | None, **options: Any
) -> tuple[AnyModel, FitResult]:
    """Return a model with new weights after its training, and the result; see `Trainable.from_scratch`."""
    with tempfile.TemporaryDirectory(prefix="convmodel-") as temporary:
        folder, result = PythonRun(cls, train, valid, Path(temporary), options).run(size=size)
        model = cls.from_pretrained(folder)
        _set_name(model, result.saved_to)
        return model, result


class PythonRun:
    """A training run in this process.

    Args:
        cls: the class of the model.
        train: the training data.
        valid: the validation data, or None.
        folder: a folder for the files of the run.
        options: options of a config by name, and `save_to`.
    """

    def __init__(
        self, cls: type[AnyModel], train: Data, valid: Data | None, folder: Path, options: Mapping[str, Any]
    ) -> None:
        named = dict(options)
        self._save_to: str | os.PathLike[str] | None = named.pop("save_to", None)
        self._folder = folder
        self._module, data, self._size_option = _modules_of(cls)
        self._classes = {"model": getattr(training, self._module), "data": getattr(training, data)}
        self._options = place_options(named, self._classes | {"trainer": Trainer}, others=["samples"])
        trainer = self._options["trainer"]
        self._objects = {name: trainer.pop(name) for name in [*trainer] if holds_objects(trainer[name])}
        self._keeps_files = self._options["trainer"].get("default_root_dir") is not None
        noun = self._classes["data"].noun
        files = {"train_file": to_files(train, folder / "train.jsonl", role="train", noun=noun)}
        if valid is not None:
            files["valid_file"] = to_files(valid, folder / "valid.jsonl", role="valid", noun=noun)
        written = [file for file in files.values() if isinstance(file, str) and Path(file).parent == folder]
        self._source_names = dict.fromkeys(written, IN_MEMORY.format(noun))
        if written:  # texts that are only in memory leave no tokens in the user's cache
            self._options["data"].setdefault("cache_dir", str(folder / "cache"))
        self._options["data"] |= files

    def run(
        self, *, start: Path | None = None, base_model: str | None = None, size: Any = None
    ) -> tuple[Path, FitResult]:
        """Train, and return the folder of the best model, and the result.

        Args:
            start: folder of the model to fine-tune; None for a new one.
            base_model: name of the model to fine-tune, for the model card.
            size: sizes of a new model; None for the defaults of a config.
        """
        if start is not None:
            self._options["model"]["pretrained_model_name_or_path"] = str(start)
        elif size is not None:
            self._options["model"][self._size_option] = dict(size) if isinstance(size, Mapping) else vars(size)
        target = Path(self._folder / "model" if self._save_to is None else self._save_to)
        interrupted = False
        with contained(), capture_logs() as log:
            cli = FitCLI(
                self._config(target),
                base_model=base_model,
                objects=self._objects,
                source_names=self._source_names,
                temporary=self._save_to is None,
                log=log,
                save_config_callback=SaveConfigCallback if self._keeps_files else None,
            )
            try:
                cli.train()
            except (KeyboardInterrupt, SystemExit) as error:  # Lightning turns the first into the second
                if cli.recorder.module is None:
                    raise KeyboardInterrupt from error
                interrupted = True
                _finish(cli.recorder, target)
        return target, cli.recorder.result(interrupted=interrupted, saved_to=self._save_to)

    def _config(self, target: Path) -> dict[str, Any]:
        """Return the config of the run. Options of the user override the defaults of a run in Python."""
        trainer = {"devices": 1, **({} if self._keeps_files else {"logger": False})} | self._options["trainer"]
        trainer.setdefault("default_root_dir", str(self._folder / "run"))
        config = {name: value for name, value in self._options.items() if name not in ("model", "data", "trainer")}
        for name, cls in self._classes.items():
            config[name] = {"class_path": f"{training.__name__}.{cls.__name__}", "init_args": self._options[name]}
        plain: dict[str, Any] = _plain(config | {"trainer": trainer, "export_dir": str(target)})
        return plain


def _finish(recorder: FitRecorder, target: Path) -> None:
    """Export the model of an interrupted run if no better one was exported, and log which weights are kept."""
    if recorder.export.exported_to is None:
        module = cast(ExportableModule, recorder.module)
        module.export(target, card=ModelCard(base_model=module.base_model), weights=recorder.module.state_dict())  # type: ignore[union-attr]
        rank_zero_info("Interrupted: the model has its latest weights, which were not validated")
    else:
        rank_zero_info("Interrupted: the model has the best weights so far, by validation")


def _modules_of(cls: type) -> tuple[str, str, str]:
    """Return the entry of `MODULES` for a class of models; raise TypeError if it cannot be trained."""
    found = next((MODULES[base] for base in cls.__mro__ if base in MODULES), None)
    if found is None:
        names = ", ".join(each.__name__ for each in MODULES)
        raise TypeError(f"a {cls.__name__} is not trained; allowed are {names}, such as the parts of this one")
    return found


def _name_of(model: AnyModel) -> str:
    """Return the name that a model was loaded by."""
    name = model.hf_model.name_or_path if isinstance(model, LanguageModel) else None
    return name or IN_MEMORY.format("a model")


def _replace(model: AnyModel, folder: Path) -> None:
    """Replace the contents of a model by those of a saved one, on the same device and in the same number type."""
    placed: tuple[Any, Any]
    if isinstance(model, LanguageModel):
        placed = (model.hf_model.device, model.hf_model.dtype)
    else:
        placed = (model.device, model.dtype)
    fresh = type(model).from_pretrained(folder, *placed)
    if isinstance(model, LanguageModel):
        _set_name(fresh, model.hf_model.name_or_path)
    vars(model).clear()
    vars(model).update(vars(fresh))


def _set_name(model: AnyModel, name: str | None) -> None:
    """Set the name that a model was loaded by, because the folder of a run does not remain."""
    if isinstance(model, LanguageModel):
        vars(model.hf_model)["name_or_path"] = vars(model.hf_model.config)["_name_or_path"] = name


def _plain(value: Any) -> Any:
    """Return a config with paths as strings."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
