"""Conversation models: reading conversations, training, generation, response selection and serving.

Each public name is imported on first use, so that `import convmodel` does not import large libraries.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convmodel.data.conversation import Conversation as Conversation
    from convmodel.data.conversation import read_conversations as read_conversations
    from convmodel.data.conversation import write_conversations as write_conversations
    from convmodel.data.document import Document as Document
    from convmodel.data.document import read_documents as read_documents
    from convmodel.data.document import write_documents as write_documents
    from convmodel.data.selection_example import SelectionExample as SelectionExample
    from convmodel.generation.options import PRESETS as PRESETS
    from convmodel.models.conversation_inputs import ConversationModelOutput as ConversationModelOutput
    from convmodel.models.conversation_model import ConversationModel as ConversationModel
    from convmodel.models.document_inputs import DocumentModelOutput as DocumentModelOutput
    from convmodel.models.document_model import DocumentModel as DocumentModel
    from convmodel.models.opening import load as load
    from convmodel.models.rerankers import MutualInformation as MutualInformation
    from convmodel.models.rerankers import SelectorScorer as SelectorScorer
    from convmodel.models.selection.bi_encoder import BiEncoder as BiEncoder
    from convmodel.models.selection.convert.model import Convert as Convert
    from convmodel.models.selection.cross_encoder import CrossEncoder as CrossEncoder
    from convmodel.models.selection.index.index import CandidateIndex as CandidateIndex
    from convmodel.models.selection.index.index import CandidateSet as CandidateSet
    from convmodel.models.selection.poly_encoder import PolyEncoder as PolyEncoder
    from convmodel.models.selection.selector import Selector as Selector
    from convmodel.responders.chooser import Chooser as Chooser
    from convmodel.responders.hybrid import Hybrid as Hybrid
    from convmodel.responders.loading import open_responder as open_responder
    from convmodel.responders.writer import DocumentWriter as DocumentWriter
    from convmodel.responders.writer import Writer as Writer
    from convmodel.tokens.conversation_tokenizer import ConversationTokenizer as ConversationTokenizer
    from convmodel.tokens.document_tokenizer import DocumentTokenizer as DocumentTokenizer
    from convmodel.tokens.session import Session as Session

__version__ = "0.1.0"

_MODULES = {
    "Conversation": "convmodel.data.conversation",
    "read_conversations": "convmodel.data.conversation",
    "write_conversations": "convmodel.data.conversation",
    "Document": "convmodel.data.document",
    "read_documents": "convmodel.data.document",
    "write_documents": "convmodel.data.document",
    "SelectionExample": "convmodel.data.selection_example",
    "PRESETS": "convmodel.generation.options",
    "ConversationModel": "convmodel.models.conversation_model",
    "ConversationModelOutput": "convmodel.models.conversation_inputs",
    "DocumentModelOutput": "convmodel.models.document_inputs",
    "DocumentModel": "convmodel.models.document_model",
    "load": "convmodel.models.opening",
    "MutualInformation": "convmodel.models.rerankers",
    "SelectorScorer": "convmodel.models.rerankers",
    "BiEncoder": "convmodel.models.selection.bi_encoder",
    "Convert": "convmodel.models.selection.convert.model",
    "CrossEncoder": "convmodel.models.selection.cross_encoder",
    "CandidateIndex": "convmodel.models.selection.index.index",
    "CandidateSet": "convmodel.models.selection.index.index",
    "PolyEncoder": "convmodel.models.selection.poly_encoder",
    "Selector": "convmodel.models.selection.selector",
    "Chooser": "convmodel.responders.chooser",
    "DocumentWriter": "convmodel.responders.writer",
    "Hybrid": "convmodel.responders.hybrid",
    "open_responder": "convmodel.responders.loading",
    "Writer": "convmodel.responders.writer",
    "ConversationTokenizer": "convmodel.tokens.conversation_tokenizer",
    "DocumentTokenizer": "convmodel.tokens.document_tokenizer",
    "Session": "convmodel.tokens.session",
}
"""The module of each public name."""

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
