"""Log-likelihood of turns under encoder-decoders, which predict one reply at a time."""

from collections.abc import Sequence

import torch
from tqdm.auto import tqdm

from convmodel.data.conversation import Conversation
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation.likelihood import (
    Likelihoods,
    by_conversation,
    checked_nats,
    nothing_to_predict,
    sides_said,
)
from convmodel.tokens.turn_windows import TrainOn, target_turns


def reply_likelihoods(
    model: ConversationModel, conversations: Sequence[Conversation], *, predict: TrainOn = "all"
) -> list[Likelihoods]:
    """Return the likelihoods of turns, each scored as the reply to the turns before it by `ConversationModel.score`.

    The first turn of a conversation is not predicted. The persona is read for turns of the side that speaks last, which
    it describes.

    Args:
        model: an encoder-decoder. The encoder reads the turns before a turn, and the decoder predicts the turn.
        conversations, predict: see `likelihood.likelihoods`.

    Raises:
        ValueError: if there is no reply to predict, or a loss is not finite.
    """
    sums: dict[tuple[int, int], tuple[float, int]] = {}
    for index, named in enumerate(tqdm(conversations, desc="Perplexity", disable=None, leave=False)):
        conversation = named.alternating()
        last = len(conversation.turns) - 1
        for turn in target_turns(predict, last + 1):
            if turn:
                persona = () if (last - turn) % 2 else conversation.persona
                context, reply = conversation.turns[:turn], conversation.turns[turn]
                scores = model.score(context, [reply], persona=persona, cut=True)
                [nats] = checked_nats(-torch.tensor(scores.summed), "a turn").tolist()
                sums[index, turn] = (nats, scores.num_tokens[0])
    if not sums:
        raise ValueError(nothing_to_predict(predict))
    return by_conversation(list(map(sides_said, conversations)), sums)
