"""The package from outside: its names, its commands, what they import, and the floors of its rooms."""

import ast
import gzip
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import convmodel
from convmodel.__main__ import COMMANDS, main
from convmodel.errors import install_command
from convmodel.trainer import main as trainer

ROOT = Path(__file__).parents[1]
HEAVY = {
    *("torch", "transformers", "tokenizers", "numpy", "datasets", "pytorch_lightning", "jsonargparse", "yaml"),
    *("rich", "prompt_toolkit", "tqdm", "matplotlib", "sacrebleu", "ftfy", "regex", "jinja2"),
    *("zstandard", "pyarrow", "charset_normalizer", "ijson", "bm25s"),
    *("fastapi", "uvicorn", "pydantic", "limits", "prometheus_client", "sqlalchemy", "aiogram", "aiohttp"),
}

FLOORS = [
    {"data", "metrics", "generation"},
    {"tokens"},
    {"models"},
    {"training", "responders"},
    {"reports", "serving"},
    {"cli"},
]
"""The ten rooms from the ground up; a room imports from itself and from lower floors. `errors` stands below all."""

TRAINABLE = ROOT / "convmodel/models/trainable.py"
"""The one file that imports from a higher floor: its methods import the trainer when they are called."""

PUBLIC = {"__init__", "__main__", "errors", "trainer"}
"""Files at the top level. `__main__` imports from `cli`, `trainer` from `training`, `__init__` from all."""

WITHOUT_TORCH = (
    "data",
    "metrics",
    "serving",
    "cli/chat",
    "cli/bulk",
    "responders/protocol.py",
    "responders/text_selector.py",
)
"""Rooms and files that never import torch themselves."""


def sources() -> Iterator[tuple[str, Path]]:
    """Yield each file of the package with the name of its room."""
    package = ROOT / "convmodel"
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).parts[0].removesuffix(".py"), path


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Yield the full names of all modules that a file imports."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield module
            if module in ("convmodel", ""):
                yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms(path: Path) -> set[str]:
    """Return the rooms that a file imports from."""
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "convmodel" and len(parts) > 1}


def run(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if k != "CONVMODEL_TRACEBACK"} | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


# Floors


def test_there_are_ten_rooms_and_four_public_files() -> None:
    assert {room for room, _ in sources()} == {*PUBLIC, *set().union(*FLOORS)}


@pytest.mark.parametrize("room", sorted(set().union(*FLOORS)))
def test_a_room_imports_only_from_floors_below_it(room: str) -> None:
    [floor] = [number for number, floor in enumerate(FLOORS) if room in floor]
    allowed = set().union({room, "errors", "__version__"}, *FLOORS[:floor])
    for room_of_file, path in sources():
        if room_of_file == room and path != TRAINABLE:
            assert rooms(path) <= allowed, f"{path.relative_to(ROOT)} imports {rooms(path) - allowed}"


def test_the_methods_that_train_import_the_trainer_only_when_they_are_called() -> None:
    top = {node.module for node in tree_of(TRAINABLE).body if isinstance(node, ast.ImportFrom)}
    assert {module for module in top if module and module.startswith("convmodel")} == {"convmodel.errors"}


def test_selection_models_import_only_loading_card_and_devices_of_models() -> None:
    allowed = {"selection", "folder", "loading", "weight_checks", "card", "devices", "trainable"}
    for path in (ROOT / "convmodel/models/selection").rglob("*.py"):
        names = [name.split(".") for name in imported(path) if name.startswith("convmodel.models.")]
        assert {parts[2] for parts in names} <= allowed, path


def test_only_training_imports_lightning() -> None:
    importing = {
        room for room, path in sources() if any(name.split(".")[0] == "pytorch_lightning" for name in imported(path))
    }
    assert "training" in importing and importing <= {"training", "trainer"}


def test_rooms_without_torch_do_not_import_it() -> None:
    for name in WITHOUT_TORCH:
        start = ROOT / "convmodel" / name
        for path in [start] if start.is_file() else start.rglob("*.py"):
            assert "torch" not in {module.split(".")[0] for module in imported(path)}, path


def test_imported_finds_the_imports_of_a_file() -> None:
    assert {"data", "tokens"} == rooms(ROOT / "convmodel/tokens/conversation_tokenizer.py")
    assert "convmodel.data.messages" in imported(ROOT / "convmodel/data/shapes/base.py")
    assert {"__version__", "cli", "errors", "trainer"} == rooms(ROOT / "convmodel/__main__.py")  # some within functions


# Docstrings

NO_FIRST_WORDS = {"what", "who", "whoever", "where", "how", "which"}

NO_PHRASES = (
    r"(?<![Tt]here )\bis (no [a-z]+|none)\b",
    r"\btold\b(?!:)",
    r"\bwhoever\b",
    r"\bof one's own\b",
    r"\bcomes? to\b",
    r"\bgoes on with\b",
)


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each docstring, including those of attributes."""
    for _, path in sources():
        for node in ast.walk(tree_of(path)):
            body = getattr(node, "body", None)
            for part in body if isinstance(body, list) else ():
                if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                    text = part.value.value
                    if isinstance(text, str) and text.strip():
                        yield f"{path.relative_to(ROOT)}:{part.lineno}", text.strip()


def test_every_module_has_a_docstring_of_a_sentence() -> None:
    for _, path in sources():
        docstring = ast.get_docstring(tree_of(path))
        assert docstring and docstring.splitlines()[0].endswith((".", ":")), path


def test_no_docstring_begins_with_a_relative_clause() -> None:
    places = [place for place, text in docstrings() if text.split()[0].lower().strip(",.:") in NO_FIRST_WORDS]
    assert not places, f"begin with a verb or a noun: {places}"


def test_no_docstring_has_a_phrase_to_avoid() -> None:
    places = [place for place, text in docstrings() if any(re.search(phrase, text) for phrase in NO_PHRASES)]
    assert not places, f"write plain technical English: {places}"


# The mirror

UNMIRRORED = {
    "__main__.py": "tests/test_package.py runs the whole commands",
    "trainer.py": "tests/test_package.py runs the whole commands",
    "data/cells.py": "tests/data/formats/test_csv.py, through files",
    "data/formats/document_record.py": "tests/data/formats/test_documents.py, through files",
    "data/formats/plain_text.py": "tests/data/formats/test_documents.py, through files",
    "data/encodings.py": "tests/data/test_lines.py, through files",
    "data/shapes/base.py": "tests/data/shapes/test_reading.py, through records",
    "data/tables.py": "tests/data/formats/test_csv.py, through files",
}
"""Modules of more than 30 lines without a test file of their path, each with the reason."""


def test_each_module_has_a_test_file_at_its_path() -> None:
    missing = set()
    for _, path in sources():
        module = path.relative_to(ROOT / "convmodel")
        test = ROOT / "tests" / module.with_name(f"test_{module.name}")
        if path.read_text(encoding="utf-8").count("\n") > 30 and module.name != "__init__.py" and not test.is_file():
            missing.add(str(module))
    assert missing == UNMIRRORED.keys()


def test_no_public_class_name_is_used_twice() -> None:
    places: dict[str, list[str]] = {}
    for _, path in sources():
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert not {name: files for name, files in places.items() if len(files) > 1 and name != "Settings"}


# Names


def test_every_public_name_comes_from_its_module() -> None:
    assert sorted(convmodel.__all__) == sorted(set(convmodel.__all__))
    for name in convmodel.__all__:
        value = getattr(convmodel, name)
        if name != "__version__":
            module = importlib.import_module(convmodel._MODULES[name])
            assert module.__name__.startswith("convmodel.") and getattr(module, name) is value
            assert getattr(value, "__module__", module.__name__) == module.__name__
    assert dir(convmodel) == sorted(convmodel.__all__)
    names: dict[str, object] = {}
    exec("from convmodel import *", names)
    assert set(convmodel.__all__) <= set(names)


def test_names_for_type_checkers_are_those_imported_on_use() -> None:
    tree = ast.parse((ROOT / "convmodel" / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module  # mypy re-exports only `X as X` where `__all__` is computed
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("convmodel.")
        for alias in node.names
        if alias.name == alias.asname
    }
    assert seen == convmodel._MODULES
    assert {*seen, "__version__"} == set(convmodel.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'convmodel' has no attribute 'Conversion'"):
        convmodel.Conversion  # noqa: B018
    assert not hasattr(convmodel, "__path_to_nowhere__")


# Laziness


def loaded(*program: str) -> set[str]:
    """The top-level modules that are loaded when a program ends."""
    lines = [
        "import atexit, json, sys",
        "atexit.register(lambda: print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr))",
        *program,
    ]
    done = run("-c", "\n".join(lines))
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(found)


@pytest.mark.parametrize(
    "program",
    [
        ["import convmodel", "dir(convmodel)", "convmodel.__version__"],
        ["import runpy", "sys.argv[1:] = ['--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['convert', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['chat', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['generate', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['index', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['evaluate', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['inspect', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['serve', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['telegram', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['train', '--help']", "runpy.run_module('convmodel', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['-h']", "runpy.run_module('convmodel.trainer', run_name='__main__')"],
        ["import runpy", "sys.argv[1:] = ['--help']", "runpy.run_module('convmodel.trainer', run_name='__main__')"],
        ["from convmodel import Conversation, read_conversations, write_conversations"],
        ["from convmodel import Document, read_documents, write_documents"],
        ["import convmodel.cli.chat.start, convmodel.cli.bulk.runner"],
        ["import convmodel.serving.safety, convmodel.responders.protocol"],
    ],
    ids=[
        "import",
        "--help",
        "convert --help",
        "chat --help",
        "generate --help",
        "index --help",
        "evaluate --help",
        "inspect --help",
        "serve --help",
        "telegram --help",
        "train --help",
        "trainer -h",
        "trainer --help",
        "conversations",
        "documents",
        "front ends",
        "what serving knows",
    ],
)
def test_light_commands_do_not_import_heavy_libraries(program: list[str]) -> None:
    modules = loaded(*program)
    assert "convmodel" in modules
    assert not modules & HEAVY


def test_loaded_finds_imported_modules() -> None:
    assert "numpy" in loaded("import numpy")


# Commands


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_all_of_them_are_listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m convmodel ")
    for name in ("train", *(command.name for command in COMMANDS)):
        assert re.search(rf"^  {name} +\w", out, re.MULTILINE)
    assert out.count("\n  python -m convmodel ") == 2  # examples


def test_every_command_is_in_a_group() -> None:
    modules = {path.stem for path in (ROOT / "convmodel/cli/commands").glob("[a-z]*.py")}
    assert {command.name.replace("-", "_") for command in COMMANDS} == modules


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"convmodel {convmodel.__version__}\n"


def test_an_unknown_command_is_an_error_with_the_most_similar_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["chatter"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: chatter: there is no such command; did you mean chat?\n"


def test_the_help_of_the_trainer_shows_its_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for word in ("fit", "validate", "test", "--data.train_file", "--print_config", "--ckpt_path"):
        assert word in out


@pytest.mark.parametrize("arguments", [["convert"], ["convert", "one"]])
def test_an_invalid_command_line_prints_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: python -m convmodel" in capsys.readouterr().err


def test_convert_reads_any_format_and_writes_json_lines(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("context,response\nHello,Hi\nHow are you?,元気\n", encoding="utf-8")
    done = run("-m", "convmodel", "convert", "in.csv", "out.jsonl.gz", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "in.csv: CSV, 2 conversations\nout.jsonl.gz: 2 conversations written\n"
    lines = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"turns": ["Hello", "Hi"]}, {"turns": ["How are you?", "元気"]}]


def test_convert_skips_invalid_lines_with_on_error_skip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").write_text('["a", "b"]\n["alone"]\n')
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--on-error", "skip"]) == 0
    assert "1 conversation; 1 line skipped: first" in capsys.readouterr().out
    assert json.loads((tmp_path / "out").read_text()) == {"turns": ["a", "b"]}


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("bad", "out", "error: bad:2: there is only one turn"),
        ("missing", "out", "error: missing: there is no such file in "),
        (".", "out", "error: .: is a folder (bad"),
        ("good", "no/out", "there is no folder "),
        ("good", ".", "is a folder; give the name of a file"),
        ("hub://x?size=3", "out", "error: hub://x?size=3: unknown option 'size'"),
    ],
)
def test_an_error_of_convert_is_one_line_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    output: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    (tmp_path / "bad").write_text('["a", "b"]\n["alone"]\n')
    (tmp_path / "good").write_text('["a", "b"]\n')
    with pytest.raises(SystemExit) as end:
        main(["convert", source, output])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["bad", "good"]


def test_an_error_of_convert_ends_the_process_with_status_2_and_no_traceback(tmp_path: Path) -> None:
    done = run("-m", "convmodel", "convert", "missing", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: missing: there is no such file") and done.stderr.count("\n") == 1


def test_the_trainer_without_arguments_shows_its_usage_and_fails() -> None:
    done = run("-m", "convmodel.trainer")
    assert done.returncode == 2
    assert done.stdout.startswith("usage: python -m convmodel.trainer")


def test_the_package_is_marked_as_typed() -> None:
    assert (ROOT / "convmodel" / "py.typed").is_file()


def test_training_without_its_libraries_is_an_error_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "convmodel.training.cli", raising=False)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    with pytest.raises(SystemExit) as end:
        trainer(["fit"])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: training needs pytorch_lightning; {install_command('train')}\n"


def test_nobody_is_sent_to_the_other_project_of_this_name_on_the_index() -> None:
    """`convmodel[extra]` is complete only with the source behind it: `convmodel[extra] @ git+https://...`."""
    folders = [ROOT / name for name in ("convmodel", "docs", "examples", "benchmarks")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".md", ".yaml", ".sh")]
    for path in (*files, ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        wrong = re.search(r"pip install (-\S+ )*[\"']?convmodel\b(?!\S* @ )", path.read_text(encoding="utf-8"))
        assert wrong is None, f"{path.relative_to(ROOT)}: {wrong}"
