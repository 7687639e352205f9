"""A conversation and what is asked of it in, what is to be replied to and what is then stored out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from convmodel.serving.conversations.errors import state
from convmodel.serving.conversations.schemas import AskReply, Say
from convmodel.serving.errors import APIError
from convmodel.serving.reply_jobs import CheckedReply, ReplyRequest
from convmodel.serving.request_options import check_chars, resolve_options
from convmodel.serving.safety.policy import PLACEHOLDER
from convmodel.serving.safety.policy import Store as Keep
from convmodel.serving.schemas import MOST_SEED
from convmodel.serving.service import Service
from convmodel.serving.store import ConversationRecord, Turn
from convmodel.serving.store.records import now

Json = Mapping[str, Any]

What = Literal["turns", "reply", "retry"]
"""The last part of the address."""


@dataclass(frozen=True)
class TurnPlan:
    """What is to be replied to.

    Args:
        whole: the conversation as it is.
        said: the turn that is replied to.
        stored: whether it is in the store as it stands here.
        replaces: whether the reply takes the place of another one.
        asked: of the responder.
    """

    whole: ConversationRecord
    said: Turn
    stored: bool
    replaces: bool
    asked: ReplyRequest


def plan(service: Service, whole: ConversationRecord, what: What, ask: AskReply) -> TurnPlan:
    """Decides what is to be done.

    Raises:
        Refusal: 400 for what is too much, 409 for what does not go with how the conversation stands.
    """
    if what == "turns":
        assert isinstance(ask, Say)
        said = _said(service, whole, ask)
    else:
        said = _replied_to(whole, what)
    context = [turn.text for turn in whole.turns[: said.number - 1] if not turn.blocked]
    asked = ReplyRequest(
        [*context, said.text],
        persona=whole.about.persona,
        options=_options(service, whole, ask),
        seed=_seed(whole, what, ask),
        unchecked=1,
    )
    return TurnPlan(whole, said, what != "turns", what == "retry" and not whole.waiting, asked)


def _said(service: Service, whole: ConversationRecord, ask: Say) -> Turn:
    """The user's new turn."""
    number, text = len(whole.turns) + 1, ask.text
    if whole.waiting:
        if not ask.join:
            raise state("the last turn still waits for its reply; ask for that, or join", "waiting")
        number, text = number - 1, f"{whole.turns[-1].text}\n{text}"
    check_chars(text, service.settings.turn_chars, param="text")
    if number + 1 > service.settings.turns:
        said = f"the conversation has {len(whole.turns):,} turns; {service.settings.turns:,} are allowed: begin another"
        raise APIError(400, said, code="too_much")
    return Turn(number, "user", text, now())


def _replied_to(whole: ConversationRecord, what: What) -> Turn:
    """The turn that waits for a reply, or is to get another one."""
    if not whole.turns:
        raise state("there is nothing to reply to; say something first", "nothing_said")
    if whole.waiting:
        return whole.turns[-1]
    if what == "reply":
        raise state("the last turn has its reply; say something first, or retry", "not_waiting")
    said, reply = whole.turns[-2:]
    if reply.blocked and reply.reply and (reply.reply.get("blocked") or {}).get("side") == "input":
        raise state("what was said is blocked; undo it, and say something else", "blocked")
    return said


def _options(service: Service, whole: ConversationRecord, ask: AskReply) -> dict[str, object]:
    given = {} if ask.options is None else ask.options.given()
    if ask.preset is not None:
        return resolve_options(service, ask.preset, given)
    return resolve_options(service, whole.about.preset, {**(whole.about.options or {}), **given})


def _seed(whole: ConversationRecord, what: What, ask: AskReply) -> int | None:
    """None where the bridge is to draw one."""
    if ask.seed is not None or whole.about.seed is None:
        return ask.seed
    if what != "retry" or whole.waiting:
        return whole.about.seed
    last = (whole.turns[-1].reply or {}).get("seed")
    return min((whole.about.seed if last is None else last) + 1, MOST_SEED)


@dataclass(frozen=True)
class TurnResult:
    """What became of a plan.

    Args:
        said: the turn that was replied to, as it is to be remembered.
        turn: the reply; None where nothing was written.
        keep: the first turns of the conversation that stay; None where nothing changes.
        add: what follows them.
        waiting: whether a turn waits for its reply now.
    """

    said: Turn
    turn: Turn | None
    keep: int | None
    add: Sequence[Turn]
    waiting: bool


def outcome(plan: TurnPlan, answer: CheckedReply, reply: Json, keep: Keep, *, stored: bool) -> TurnResult:
    """Decides what is stored of a reply.

    Args:
        plan: for which it was made.
        answer: what is said.
        reply: the same as JSON.
        keep: what is stored of what the policy blocked.
        stored: whether the turn that was replied to is in the store by now.
    """
    before = plan.said.number - 1
    if answer.blocked is not None:
        return _blocked(plan, answer, reply, keep, stored=stored)
    if not answer.text.strip():
        return TurnResult(plan.said, None, None, (), waiting=not plan.replaces)
    turn = Turn(plan.said.number + 1, "model", answer.text, now(), reply)
    if stored and not plan.said.blocked:
        return TurnResult(plan.said, turn, before + 1, [turn], waiting=False)
    said = replace(plan.said, blocked=False)  # its last reply was blocked, and this one is not
    return TurnResult(said, turn, before, [said, turn], waiting=False)


def _blocked(plan: TurnPlan, answer: CheckedReply, reply: Json, keep: Keep, *, stored: bool) -> TurnResult:
    assert answer.blocked is not None
    unsaid = answer.blocked.side == "input" and keep != "text"
    said = replace(plan.said, blocked=True, text=PLACEHOLDER if unsaid else plan.said.text)
    withheld = {"withheld": answer.withheld} if keep == "text" and answer.withheld is not None else {}
    turn = Turn(plan.said.number + 1, "model", answer.text, now(), {**reply, **withheld}, blocked=True)
    if keep != "nothing":
        return TurnResult(said, turn, plan.said.number - 1, [said, turn], waiting=False)
    if plan.replaces or not stored:
        return TurnResult(said, turn, None, (), waiting=plan.whole.waiting)
    return TurnResult(said, turn, plan.said.number - 1, (), waiting=False)
