"""Token ids of contexts with names, and of earlier replies."""

from convmodel.tokens.context_ids import encode_named, encode_sides
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.session import Session
from convmodel.tokens.speakers import Context, SideIds, name_speakers
from tests.tokens.templates import with_template


def test_texts_without_names_have_the_ids_of_the_tokenizer(tokenizer: ConversationTokenizer) -> None:
    turns = ["Hello", "Ida: Hi\nTom: rain"]
    ids = encode_named(tokenizer, Context(turns), ["I like rain."])
    assert (ids.turns, ids.persona) == tokenizer.encode_context(turns, ["I like rain."]) and ids.opening == []


def test_names_and_texts_of_a_group_are_encoded_apart(tokenizer: ConversationTokenizer) -> None:
    context = name_speakers(["Hello", "Hi", "rain", "you"], ["Ida", "Tom", "Eve", "Ida"], "Tom", keep=False)
    ids = encode_named(tokenizer, context, [])
    encode = tokenizer.encode
    assert ids.turns == [
        [*encode("Ida:"), *encode(" Hello")],
        [*encode("Tom:"), *encode(" Hi")],
        [*encode("Eve:"), *encode(" rain"), *encode("\nIda:"), *encode(" you")],
    ]
    assert ids.opening == encode("Tom:") and context.lead == " "
    assert context.sides is not None
    name = len(encode("Ida:"))
    [first, *_] = encode_sides(tokenizer, context.sides)
    assert first == SideIds(ids.turns[0], [(0, name)]) and first.words == encode("Ida:")


def test_white_space_around_texts_is_removed_where_the_template_removes_it() -> None:
    tokenizer = ConversationTokenizer(with_template("llama 3"))
    assert tokenizer.layout.trims
    wide = name_speakers([" Hello ", "\tHi"], ["Ida", "Eve"], "Tom", keep=False)
    narrow = name_speakers(["Hello", "Hi"], ["Ida", "Eve"], "Tom", keep=False)
    assert encode_named(tokenizer, wide, []) == encode_named(tokenizer, narrow, [])


def test_a_reply_of_a_session_has_the_ids_that_the_model_generated(tokenizer: ConversationTokenizer) -> None:
    context = name_speakers(["Hello", "Hi", "rain"], ["Ida", "Tom", "Eve"], "Tom", keep=False)
    session = Session({(1, " Hi"): (7, 8), (1, "Hi"): (9,), (0, " Ida: Hello"): (5,)})
    turns = encode_named(tokenizer, context, [], session).turns
    assert turns[1] == [*tokenizer.encode("Tom:"), 7, 8] and turns[0] == encode_named(tokenizer, context, []).turns[0]
    assert encode_named(tokenizer, Context(["Hello", "Hi"]), [], session).turns[1] == [9]
