"""The package's metadata: names, version ranges, extras. Tested versions are pinned in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

TRAIN = [
    "pytorch-lightning>=2.6,<3",
    "jsonargparse[ruamel,signatures]>=4.53,<5",
    "datasets>=4,<6",
    "tensorboard>=2.18,<3",
    "tqdm>=4.60",
    "PyYAML>=6",
    "peft>=0.18,<1",
    "accelerate>=1.10,<2",
]
GGUF = ["gguf>=0.19,<1", "accelerate>=1.10,<2"]
CHAT = ["rich>=14", "prompt_toolkit>=3.0.50,<4", "wcwidth>=0.6", "tqdm>=4.60"]
EVALUATE = ["sacrebleu>=2.4,<3", "matplotlib>=3.9,<4", "Jinja2>=3.1", "rich>=14", "regex", "tqdm>=4.60"]
INSPECT = ["rich>=14", "tqdm>=4.60", "ftfy>=6.2,<7", "regex", "matplotlib>=3.9,<4", "Jinja2>=3.1"]
INDEX = ["usearch>=2.16,<3", "tqdm>=4.60"]
SERVE = [
    "fastapi>=0.135,<1",
    "uvicorn>=0.38,<1",
    "httptools>=0.6.4",
    'uvloop>=0.21; sys_platform != "win32"',
    "pydantic>=2.11,<3",
    "sqlalchemy>=2.0.30,<3",
    "prometheus-client>=0.21",
    "limits>=5,<6",
    "fastapi-swagger>=0.4",
    "regex",
]
POSTGRES = ["psycopg[binary]>=3.2,<4"]
TELEGRAM = [*SERVE, "aiogram>=3.31,<4", "aiohttp>=3.9"]
CORPUS = [
    *("orjson>=3.10,<4", "py3langid>=0.3,<1", "datasketch>=2,<3", "pyarrow>=18"),
    *("tqdm>=4.60", "matplotlib>=3.9,<4", "Jinja2>=3.1", "rich>=14"),
]
CLUSTER = [*CORPUS, "ray[default]>=2.50,<3"]
EVERYTHING = sorted({*TRAIN, *CHAT, *EVALUATE, *INSPECT, *INDEX, *SERVE, *POSTGRES, *TELEGRAM, *GGUF, *CORPUS})
TEST = [
    *EVERYTHING,
    "pytest>=8,<10",
    "pytest-xdist>=3.6",
    "ruff>=0.12",
    "mypy>=1.15",
    "types-PyYAML",
    "sentencepiece>=0.2",
    "httpx2>=2",  # of starlette's TestClient
    "openai>=2",
    "anthropic>=2",
    "cohere>=7",
    "schemathesis>=4,<5",
    "hypothesis>=6.100",
    "playwright>=1.50",
    "axe-playwright-python>=0.1.4",
    "nbclient>=0.10,<1",
    "ipykernel>=6.29,<8",
]


def version() -> str:
    """The version, from the one place where it is written."""
    source = (ROOT / "convmodel" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', source, re.MULTILINE)
    assert found is not None
    return found.group(1)


setup(
    name="convmodel",
    version=version(),
    description="Turns conversations into models that talk.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    entry_points={"console_scripts": ["convmodel = convmodel.__main__:main"]},
    packages=[*find_packages(include=["convmodel", "convmodel.*"]), "convmodel.examples"],
    package_dir={"convmodel.examples": "examples/data"},
    package_data={
        "convmodel.examples": ["train.jsonl"],  # for the command demo
        "convmodel": ["py.typed"],
        "convmodel.reports": ["style.css", "templates/*.html"],
        "convmodel.serving": ["web/*.css", "web/*.html", "web/*.js", "web/*.svg"],
    },
    install_requires=[
        "torch>=2.11,<3",
        "transformers>=5.17,<6",
        "tokenizers>=0.22",
        "safetensors>=0.5",
        "huggingface_hub>=1.3,<3",
        "numpy>=1.26,<3",
        "numba>=0.62,<1",
        "zstandard>=0.23,<1",
        "charset-normalizer>=3.3,<4",
        "ijson>=3.3,<4",
        "bm25s>=0.3,<1",
        "regex",
    ],
    extras_require={
        "train": TRAIN,
        "chat": CHAT,
        "evaluate": EVALUATE,
        "inspect": INSPECT,
        "index": INDEX,
        "serve": SERVE,
        "postgres": POSTGRES,
        "telegram": TELEGRAM,
        "gguf": GGUF,
        "corpus": CORPUS,
        "cluster": CLUSTER,
        "all": EVERYTHING,
        "test": TEST,
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Operating System :: OS Independent",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
