"""Conversations in, models that talk out. Every public name is imported when it is first used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convmodel.data.conversation import Conversation, read_conversations, write_conversations
    from convmodel.data.document import Document, read_documents, write_documents
    from convmodel.generation.options import PRESETS
    from convmodel.models.conversation_model import ConversationModel, ConversationModelOutput
    from convmodel.models.document_inputs import DocumentModelOutput
    from convmodel.models.document_model import DocumentModel
    from convmodel.models.rerankers import MutualInformation, SelectorScorer
    from convmodel.models.selection.index.index import CandidateIndex, CandidateSet
    from convmodel.models.selection.selector import Selector
    from convmodel.responders.chooser import Chooser
    from convmodel.responders.document_writer import DocumentWriter
    from convmodel.responders.hybrid import Hybrid
    from convmodel.responders.loading import open_responder
    from convmodel.responders.writer import Writer
    from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
    from convmodel.tokens.document_tokenizer import DocumentTokenizer
    from convmodel.tokens.session import Session

__version__ = "0.1.0"

_HOMES = {
    "CandidateIndex": "convmodel.models.selection.index.index",
    "CandidateSet": "convmodel.models.selection.index.index",
    "Chooser": "convmodel.responders.chooser",
    "Conversation": "convmodel.data.conversation",
    "read_conversations": "convmodel.data.conversation",
    "write_conversations": "convmodel.data.conversation",
    "ConversationModel": "convmodel.models.conversation_model",
    "ConversationModelOutput": "convmodel.models.conversation_model",
    "ConversationTokenizer": "convmodel.tokens.conversation_tokenizer",
    "Document": "convmodel.data.document",
    "DocumentModel": "convmodel.models.document_model",
    "DocumentModelOutput": "convmodel.models.document_inputs",
    "DocumentTokenizer": "convmodel.tokens.document_tokenizer",
    "DocumentWriter": "convmodel.responders.document_writer",
    "read_documents": "convmodel.data.document",
    "write_documents": "convmodel.data.document",
    "Hybrid": "convmodel.responders.hybrid",
    "MutualInformation": "convmodel.models.rerankers",
    "PRESETS": "convmodel.generation.options",
    "Selector": "convmodel.models.selection.selector",
    "SelectorScorer": "convmodel.models.rerankers",
    "Session": "convmodel.tokens.session",
    "Writer": "convmodel.responders.writer",
    "open_responder": "convmodel.responders.loading",
}

__all__ = [
    "PRESETS",
    "CandidateIndex",
    "CandidateSet",
    "Chooser",
    "Conversation",
    "ConversationModel",
    "ConversationModelOutput",
    "ConversationTokenizer",
    "Document",
    "DocumentModel",
    "DocumentModelOutput",
    "DocumentTokenizer",
    "DocumentWriter",
    "Hybrid",
    "MutualInformation",
    "Selector",
    "SelectorScorer",
    "Session",
    "Writer",
    "__version__",
    "open_responder",
    "read_conversations",
    "read_documents",
    "write_conversations",
    "write_documents",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
