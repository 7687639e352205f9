"""The formats of conversations.

A new format is one module with a `FileFormat` (its names, `score`, `read`) or a `ChatFormat`, one entry here, and its
test. The formats of documents are in `documents.py`.
"""

from convmodel.data.formats.base import FileFormat, Record
from convmodel.data.formats.chatgpt import CHATGPT
from convmodel.data.formats.chatterbot import CHATTERBOT
from convmodel.data.formats.claude import CLAUDE
from convmodel.data.formats.cornell import CORNELL
from convmodel.data.formats.csv import CSV, TSV
from convmodel.data.formats.dailydialog import DAILYDIALOG
from convmodel.data.formats.dialogpt import DIALOGPT
from convmodel.data.formats.discord import DISCORD
from convmodel.data.formats.fbdialog import FBDIALOG
from convmodel.data.formats.hub import HUB
from convmodel.data.formats.imessage import IMESSAGE
from convmodel.data.formats.json import JSON
from convmodel.data.formats.jsonl import JSONL
from convmodel.data.formats.messenger import MESSENGER
from convmodel.data.formats.parlai import PARLAI
from convmodel.data.formats.parquet import PARQUET
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.formats.signal import SIGNAL
from convmodel.data.formats.signal_text import SIGNAL_TEXT
from convmodel.data.formats.slack import SLACK
from convmodel.data.formats.speakers import SPEAKERS
from convmodel.data.formats.subtitles import SUBTITLES
from convmodel.data.formats.tabs import TABS
from convmodel.data.formats.telegram import TELEGRAM
from convmodel.data.formats.ubuntu import UBUNTU
from convmodel.data.formats.whatsapp import WHATSAPP

__all__ = ["CONVERSATIONS", "FILE_FORMATS", "HUB"]

FILE_FORMATS: dict[str, FileFormat[Record]] = {
    format.name: format
    for format in (
        *(PARLAI, FBDIALOG, UBUNTU, CSV, TSV, JSONL, JSON, PARQUET),
        *(DIALOGPT, DAILYDIALOG, CORNELL, TABS, SPEAKERS, CHATTERBOT, SUBTITLES),
        *(WHATSAPP, TELEGRAM, MESSENGER, DISCORD, SLACK, SIGNAL, SIGNAL_TEXT, IMESSAGE, CHATGPT, CLAUDE),
    )
}
"""The file formats by name."""

CONVERSATIONS = FormatRegistry("conversation", FILE_FORMATS, HUB)
"""The formats that readers of conversations support."""
