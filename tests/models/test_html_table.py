"""Tables in notebooks: escaped texts and scores."""

from convmodel.models.conversation_inputs import ConversationModelOutput, ConversationModelScores
from convmodel.models.document_inputs import DocumentModelOutput
from convmodel.models.html_table import html_table
from convmodel.responders.protocol import Candidate, Reply


def test_texts_are_escaped_and_keep_their_line_breaks() -> None:
    table = html_table([{"a<b": "<script>x</script>\n& y"}], above=["<i>"])
    assert "&lt;script&gt;x&lt;/script&gt;<br>&amp; y" in table and "<th>a&lt;b</th>" in table
    assert "<script" not in table and "<i>" not in table


def test_a_column_without_values_is_left_out_and_scores_have_three_digits() -> None:
    table = html_table([{"reply": "Hi", "score": None, "why": ""}, {"reply": "Ho"}])
    assert "score" not in table and "why" not in table
    assert ">-0.123<" in html_table([{"score": -0.12345}])


def test_outputs_show_their_texts_with_scores() -> None:
    output = ConversationModelOutput(["Hi", "Ho <3"], ["Hello & you"], scores=[0.5, 0.25])._repr_html_()
    assert "Hello &amp; you" in output and "Ho &lt;3" in output and ">0.250<" in output
    assert "score" not in ConversationModelOutput(["Hi"], ["Hello"])._repr_html_()
    scores = ConversationModelScores(["Hi"], [-2.0], [-1.0], [2])._repr_html_()
    assert ">-2.000<" in scores and ">-1.000<" in scores
    documents = DocumentModelOutput(["and slept."], "A cat ", {"mood": "<calm>"})._repr_html_()
    assert "mood: &lt;calm&gt;" in documents and "A cat " in documents and "and slept." in documents


def test_a_reply_shows_its_candidates() -> None:
    reply = Reply((Candidate("Yes", 1.5, "both", scores={"written": -0.5}), Candidate("<No>", 0.5)))
    table = reply._repr_html_()
    assert "&lt;No&gt;" in table and ">1.500<" in table and ">-0.500<" in table and "both" in table
