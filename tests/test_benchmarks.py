"""Every benchmark runs from end to end at a small size; no time is asserted."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

pytest.importorskip("pytorch_lightning")

from benchmarks import (
    choosers,
    choosing,
    contenders,
    corpus,
    fine_tuning,
    fine_tuning_persona,
    fused_search,
    generation,
    generation_gpu,
    hybrid,
    job,
    load,
    quality,
    repetition,
    selection,
    selection_convert,
    selection_cross,
    selection_pairs,
    selection_search,
    selection_training,
    serving,
    soak,
    start,
    tokenization,
    training,
    training_gpu,
    unlikelihood,
    writers,
)
from benchmarks.common import Ratio, interleave, table
from convmodel.data.conversation import Conversation
from convmodel.data.selection_example import SelectionExample
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.tokens.templates import with_template

pytestmark = pytest.mark.slow


def report(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    assert content["machine"]["cores"] and content["machine"]["versions"]["torch"]
    assert set(content["machine"]["flags"]) >= {"amx_tile", "avx512_bf16"}
    return content


def test_training_measures_convmodel_and_plain_loops_with_equal_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")  # set by the run, and restored after the test
    training.main(["--smoke", "--output", str(tmp_path / "training.json")])
    content = report(tmp_path / "training.json")
    assert content["measured"]["losses"]["ours"] == pytest.approx(content["measured"]["losses"]["plain"], abs=1e-4)
    assert set(content["measured"]["runs"]) == {"ours", "plain", "bare"}
    for runs in content["measured"]["runs"].values():
        assert len(runs) == 1 and runs[0]["tokens"] > 0 and runs[0]["peak_memory_mib"] > 0


def test_unlikelihood_is_measured_with_the_loss_of_the_dense_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlikelihood.main(["--smoke", "--output", str(tmp_path / "unlikelihood.json")])
    measured = report(tmp_path / "unlikelihood.json")["measured"]
    losses = {name: runs[0]["loss"] for name, runs in measured["runs"].items()}
    assert losses["ours"] == pytest.approx(losses["dense"], rel=1e-5)
    assert losses["plain"] < losses["ours"]
    assert measured["fp64_apart"] < 1e-6
    assert "dense T x V form" in capsys.readouterr().out


def test_repetition_and_perplexity_are_measured_for_each_training_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--smoke", "--work", str(tmp_path / "work"), "--output", str(tmp_path / "repetition.json")]
    repetition.main(arguments)
    measured = report(tmp_path / "repetition.json")["measured"]
    assert [row["name"] for row in measured["ways"]] == [way.name for way in repetition.WAYS]
    for row in measured["ways"]:
        assert row["perplexity"]["value"] > 1 and 0 <= row["rep_128"]["value"] <= 1
    assert "the documents themselves" in capsys.readouterr().out


def test_a_contender_of_unlikelihood_runs_in_a_separate_process() -> None:
    result = unlikelihood.in_own_process("ours", unlikelihood.SMOKE)
    assert result["seconds"] > 0 and result["bytes"] > 0


def test_tokenization_encodes_nothing_on_the_second_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenization.main(["--smoke", "--output", str(tmp_path / "tokenization.json")])
    measured = report(tmp_path / "tokenization.json")["measured"]
    assert measured["starts"]["first"]["texts"] > 0
    assert measured["starts"]["second"]["texts"] == 0
    assert measured["starts"]["first"]["tokens"] == measured["starts"]["second"]["tokens"]
    assert "one encode per turn" in capsys.readouterr().out


def test_generation_measures_convmodel_and_generate_with_equal_replies(tmp_path: Path) -> None:
    generation.main(["--smoke", "--output", str(tmp_path / "generation.json")])
    measured = report(tmp_path / "generation.json")["measured"]
    assert {"fp32", "int8", "generate"} <= set(measured["one"]) and set(measured["one"]) == set(measured["eight"])
    assert set(measured["crowd"]) == {"fp32", "int8", "locked generate"}
    assert all(len(runs) == 1 and runs[0]["tokens/s"] > 0 for runs in measured["crowd"].values())
    assert all(seconds > 0 for runs in measured["first"].values() for seconds in runs)


def test_search_measures_convmodel_and_the_usual_form_with_equal_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("faiss", "usearch", "usearch.index", "sentence_transformers", "sentence_transformers.util"):
        monkeypatch.setitem(sys.modules, name, None)
    selection_search.main(["--smoke", "--output", str(tmp_path / "selection_search.json")])
    measured = report(tmp_path / "selection_search.json")["measured"]
    assert set(measured["poly"]) == {"ours", "ours, fp32", "usual", "usual, 4,096 at once"}
    assert set(measured["bi"]) == {"ours", "ours, fp32"}
    assert [ratio.name for ratio in selection_search.ratios(measured)] == ["poly, against the usual form", "   in fp32"]
    output = capsys.readouterr()
    assert "690 ms on 80 cores" in output.out and "pip install faiss-cpu usearch" in output.err
    with pytest.raises(ValueError, match="usual found other candidates than ours"):
        selection_search.check_equal({"ours": [[1, 2]], "usual": [[2, 1]]})


def test_fused_search_measures_the_search_by_vectors_and_words_beside_that_by_vectors(tmp_path: Path) -> None:
    fused_search.main(["--smoke", "--output", str(tmp_path / "fused_search.json")])
    measured = report(tmp_path / "fused_search.json")["measured"]
    assert len(measured) == 10 and measured["candidates"] == 2_000
    assert all(set(runs) == {"dense", "fused"} for case, runs in measured.items() if case != "candidates")
    assert sum(ratio.at_least is not None for ratio in fused_search.ratios(measured)) == 6


def test_generation_on_a_gpu_measures_every_number_of_streams(tmp_path: Path) -> None:
    generation_gpu.main(["--smoke", "--output", str(tmp_path / "generation_gpu.json")])
    speeds = report(tmp_path / "generation_gpu.json")["measured"]["tokens_per_second"]
    assert set(speeds) == {"1", "4"}
    assert all(speed > 0 for runs in speeds.values() for by_contender in runs.values() for speed in by_contender)


def test_quality_trains_and_tests_convmodel_and_the_plain_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    quality.main(["--smoke", "--output", str(tmp_path / "quality.json")])
    loops = {loop["loop"]: loop for loop in report(tmp_path / "quality.json")["measured"]["loops"]}
    for loop in loops.values():
        assert loop["steps"] == 2 and 0 < loop["epochs"] < 1
        assert [len(turns) for turns in loop["transcripts"]] == [6, 6, 6]
        assert loop["tested"]["test_perplexity"] == pytest.approx(math.exp(loop["tested"]["test_loss"]), rel=1e-4)
    # After two of a hundred warm-up steps both are close to their initial weights.
    assert loops["ours"]["tested"]["test_loss"] == pytest.approx(loops["plain"]["tested"]["test_loss"], abs=1e-2)


def test_convert_is_measured_with_equal_vectors() -> None:
    measured = selection_convert.measure(smoke=True)
    assert measured["apart"] < 1e-5 and measured["tokens"]["padded"] > measured["tokens"]["turns"] > 0
    assert {"fp32", "int8", selection_convert.PEER} <= set(measured["seconds"])
    assert all(result["largest_error"] < 0.05 for result in measured["quick"].values())
    ratios = selection_convert.ratios(measured)
    assert len(ratios) == len(measured["seconds"]) - 1 and all(ratio.median > 0 for ratio in ratios)
    assert all(ratio.at_least is None for ratio in ratios)  # claims apply to the sizes of the paper


def test_hybrid_measures_both_parts_and_their_combination(tmp_path: Path) -> None:
    hybrid.main(["--smoke", "--output", str(tmp_path / "hybrid.json")])
    measured = report(tmp_path / "hybrid.json")["measured"]
    assert set(measured["ranking"]) == {"writer", "chooser", "hybrid", "hybrid by likelihood"}
    for row in measured["ranking"].values():
        assert 0 <= row["hits@1"]["low"] <= row["hits@1"]["value"] <= row["hits@1"]["high"] <= 1
    replies = measured["replies"]
    assert replies["the real replies"]["F1"]["value"] == 1.0 and replies["chooser"]["chosen"]["value"] == 1.0
    assert replies["writer, one"]["chosen"]["value"] == 0.0


def test_only_the_nearest_candidates_are_reranked() -> None:
    first = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    second = [0.0, 9.0, 1.0, 1.0, 2.0, 99.0, 98.0]
    scores = hybrid.ranked_again(first, second)
    assert sorted(range(7), key=lambda n: -scores[n]) == [1, 4, 2, 3, 0, 5, 6]


def test_the_real_reply_is_once_in_its_pool(tmp_path: Path) -> None:
    lines = [["hi", f"reply {number % 30}"] for number in range(40)]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    examples = list(hybrid.held_out(str(tmp_path / "talks.jsonl")))
    assert [example.response for example in examples] == [reply for _, reply in lines]
    assert {len(example.candidates) for example in examples} == {20}
    (tmp_path / "choices.jsonl").write_text('{"turns": ["hi"], "candidates": ["a", "b"]}\n')
    [example] = hybrid.held_out(str(tmp_path / "choices.jsonl"))
    assert example.candidates == ("a", "b") and example.response == "b"


def test_start_runs_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "PEER", ("-c", "import json"))
    start.main(["--smoke", "--output", str(tmp_path / "start.json")])
    content = report(tmp_path / "start.json")
    assert [ratio["name"] for ratio in content["ratios"]] == list(start.OURS)


def test_a_ratio_is_the_median_of_the_rounds_with_a_verdict() -> None:
    ratio = Ratio.of("peer", [3.0, 8.0, 2.0], [1.0, 2.0, 1.0], at_least=2.5)
    assert (ratio.lowest, ratio.median, ratio.highest) == (2.0, 3.0, 4.0)
    assert ratio.verdict == "reached"
    assert Ratio.of("peer", [1.0], [1.0], at_least=2.0).verdict == "MISSED"
    assert Ratio.of("peer", [1.0], [1.0]).verdict == ""


def test_contenders_are_interleaved() -> None:
    order: list[str] = []
    interleave({"ours": lambda: order.append("ours"), "peer": lambda: order.append("peer")}, 2)
    assert order == ["ours", "peer", "ours", "peer"]


def test_the_columns_of_a_table_are_aligned() -> None:
    lines = table(["what", "n"], [["a", "1,000"], ["longer", "2"]]).splitlines()
    assert lines == ["| what   |     n |", "| ------ | ----: |", "| a      | 1,000 |", "| longer |     2 |"]


def test_useful_tokens_exclude_padding(tokenizer: ConversationTokenizer) -> None:
    conversations = [
        Conversation(("Hello",)),
        Conversation(("Hello", "I like music. And you?"), ("I am fine",)),
    ]
    rows = [job.plain_row(conversation, tokenizer) for conversation in conversations]
    batch = job.plain_batch(rows, pad_token_id=tokenizer.sep_token_id, longest=64)
    expected = sum(len(ids) for ids, _, _ in rows)
    assert int(batch["attention_mask"].sum()) == expected < batch["input_ids"].numel()
    assert contenders.useful_tokens(batch["labels"]) == expected
    assert bool((batch["labels"][batch["attention_mask"] == 0] == IGNORED).all())


@pytest.mark.parametrize(("amx", "claimed"), [(True, 6.0), (False, 1.7)])
def test_the_claim_is_higher_on_a_cpu_with_amx(amx: bool, claimed: float) -> None:
    assert training.claims({"amx_tile": amx})["plain"] == claimed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_gpu_benchmark_without_a_gpu_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        training_gpu.main([])
    assert "no CUDA device" in capsys.readouterr().err


def test_joined_conversations_fill_the_window_and_keep_all_turns(tokenizer: ConversationTokenizer) -> None:
    conversations = [Conversation((f"Hello {number}", "How are you?")) for number in range(20)]
    joined_turns = list(training_gpu.joined(conversations, tokenizer, 100))
    assert [turn for turns in joined_turns for turn in turns] == [turn for c in conversations for turn in c.turns]
    lengths = [len(tokenizer(turns)["input_ids"]) for turns in joined_turns]
    assert max(lengths) <= 100 and min(lengths[:-1]) > 60


def test_operations_of_gpt2_are_six_per_parameter_plus_attention() -> None:
    gpt2_job = job.Job("", "", vocab_size=50257, **training_gpu.GPT2)
    assert training_gpu.operations_per_token(124_439_808, gpt2_job) == pytest.approx(0.855e9, rel=0.01)


def test_the_cross_encoder_is_measured_with_the_scores_of_padded_pairs() -> None:
    measured = selection_cross.measure(smoke=True)
    [tiny] = measured["sizes"].values()
    assert {"fp32", "int8", "padded pairs"} <= set(tiny["seconds"])
    assert tiny["apart"] < 1e-4 and tiny["quick"]["int8"]["same_order"] > 0.9
    assert [ratio.at_least for ratio in selection_cross.ratios(measured)] == [None] * (len(tiny["seconds"]) - 1)


def test_every_part_of_selection_is_measured_with_equal_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    for name in ("faiss", "usearch", "usearch.index", "sentence_transformers", "sentence_transformers.util"):
        monkeypatch.setitem(sys.modules, name, None)
    threads = torch.get_num_threads()
    selection.main(["--smoke", "--output", str(tmp_path / "selection.json"), "--threads", str(threads)])
    content = report(tmp_path / "selection.json")
    measured = content["measured"]
    assert list(measured) == list(selection.PARTS) == ["search", "cross", "convert", "cached", "training"]
    assert all(len(part["load_before_and_after"]) == 2 for part in measured.values())
    assert all(apart < 1e-5 for apart in measured["cached"]["gradients_apart"].values())
    assert set(measured["cached"]["memory"]) == set(measured["cached"]["seconds"]) == {"bi-encoder", "poly-encoder"}
    assert {measured[part]["data"] for part in ("cached", "training")} == {"examples/data"}
    losses = measured["training"]["losses"]
    assert losses["ours"] == pytest.approx(losses["plain"], abs=1e-4)
    assert measured["training"]["tokens"]["padded"] > measured["training"]["tokens"]["useful"] > 0
    assert all(len(runs) == 1 and runs[0] > 0 for runs in measured["training"]["examples_per_second"].values())
    assert all(ratio["at_least"] is None for ratio in content["ratios"])  # claims apply to the real sizes
    output = capsys.readouterr()
    assert "measured without sentence-transformers' cached loss" in output.err
    assert "training a poly-encoder, against the plain loop" in output.out


def test_one_part_of_selection_can_be_measured_alone(tmp_path: Path) -> None:
    selection.main(["--smoke", "--output", str(tmp_path / "selection.json"), "--threads", "1", "--only", "convert"])
    assert list(report(tmp_path / "selection.json")["measured"]) == ["convert"]


def test_the_gradients_of_sentence_transformers_equal_those_of_convmodel(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    material = selection_pairs.prepare(tmp_path, tmp_path, smoke=True)
    examples = material.tokenised(12)
    module = replace(selection_training.RECIPES["bi-encoder"], cached=True).build(material.base)
    peer = selection_training.Peer(material.base, 4)
    for item in (module, peer.model):
        item.eval()
    features = selection_training.peer_features(module, examples)
    selection_training.step(module, examples)
    peer.step(features)
    theirs = {name.removeprefix("0.model."): w.grad for name, w in peer.model.named_parameters() if w.grad is not None}
    mine = {name.removeprefix("contexts.hf_model."): w.grad for name, w in module.network.named_parameters()}
    assert mine.keys() == theirs.keys()
    largest = max(float(item.abs().max()) for item in theirs.values())
    for name, gradient in theirs.items():
        torch.testing.assert_close(mine[name], gradient, atol=1e-5 * largest, rtol=0)


def test_pairs_come_from_conversations_or_given_candidates(tmp_path: Path) -> None:
    (tmp_path / "talks.jsonl").write_text('{"turns": ["a", "b", "c"]}\n')
    assert [(tuple(c), r) for c, r in selection_pairs.read_pairs(tmp_path / "talks.jsonl")] == [
        (("a",), "b"),
        (("a", "b"), "c"),
    ]
    choice = {"context": ["a", "b"], "response": "c", "distractors": ["d"]}
    (tmp_path / "choices.jsonl").write_text(json.dumps(choice) + "\n")
    assert [(tuple(c), r) for c, r in selection_pairs.read_pairs(tmp_path / "choices.jsonl")] == [(("a", "b"), "c")]


def test_different_gradients_are_an_error(tmp_path: Path) -> None:
    for way, value in (("plain", 1.0), ("cached", 1.001)):
        save_file({"w": torch.tensor([value, 2.0])}, tmp_path / f"bi-encoder-{way}.safetensors")
    with pytest.raises(ValueError, match=r"gradients of a cached step are 5\.0e-04 of the largest"):
        selection_training.check_gradients(tmp_path, "bi-encoder")


def test_a_constant_selector_has_no_recall() -> None:
    examples = [SelectionExample(("a",), tuple(map(str, range(100))), gold) for gold in (0, 57, 99)]
    metrics = choosing.recalls(list(choosers.constant(examples)), examples)
    assert metrics["R_10@1"] == metrics["R_10@5"] == metrics["R_100@1"] == 0.0
    assert metrics["mrr/10"] == pytest.approx(0.1) and metrics["mrr/100"] == pytest.approx(0.01)
    scores = [-np.abs(np.arange(100) - example.gold) for example in examples]  # the response, then its neighbours
    assert choosing.recalls(scores, examples)["R_100@1"] == 1.0


def test_recall_of_10_uses_the_first_nine_distractors() -> None:
    example = SelectionExample(("a",), tuple(map(str, range(60))), 30)
    scores = np.where(np.arange(60) == 30, 0.5, np.where(np.arange(60) < 9, 0.0, 1.0))
    metrics = choosing.recalls([scores], [example])
    assert metrics["R_10@1"] == 1.0 and metrics["R_60@5"] == 0.0 and metrics["mrr/60"] == pytest.approx(1 / 51)


def test_serving_measures_convmodel_and_a_plain_handler_under_equal_load(tmp_path: Path) -> None:
    serving.main(["--smoke", "--output", str(tmp_path / "serving.json")])
    servers = report(tmp_path / "serving.json")["measured"]["4 x 256"]
    assert set(servers) == {serving.OURS, serving.PLAIN}
    for result in servers.values():
        assert result["memory"] > 0 and result["loads"]["2"]["tokens"] == 4


def test_a_soak_reports_memory_errors_and_stuck_sessions(tmp_path: Path) -> None:
    soak.main(["--smoke", "--output", str(tmp_path / "soak.json")])
    measured = report(tmp_path / "soak.json")["measured"]
    assert measured["server_errors"] == measured["stuck"] == 0 and measured["memory"]
    assert {kind.partition(":")[0] for kind in measured["statuses"]} >= {"wait", "garbage", "too much", "talk"}


def test_corpus_measures_every_way_to_run_the_steps(tmp_path: Path) -> None:
    corpus.main(["--smoke", "--output", str(tmp_path / "corpus.json")])
    measured = report(tmp_path / "corpus.json")["measured"]
    assert len(measured) == 4 and all(one["comments per second"] > 0 < one["seconds"] for one in measured.values())


def test_a_quantile_is_one_of_the_values() -> None:
    assert [serving.quantile([4.0, 1.0, 3.0, 2.0], percent) for percent in (1, 50, 51, 100)] == [1.0, 2.0, 3.0, 4.0]


def test_the_last_message_of_a_context_is_from_the_user() -> None:
    messages = load.messages(["a", "b", "c"])
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [message["content"] for message in load.messages(["b", "c"])] == ["b", "c"]
    assert load.messages(["b", "c"])[-1]["role"] == "user"


def tiny_llama(folder: Path) -> Path:
    tokenizer = with_template("chatml", eos_token="<|im_end|>")
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=2048,
        )
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow  # processes that import torch
def test_writers_compares_engines_in_processes_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "writers.json"
    folder = tiny_llama(tmp_path / "llama")
    only = ["--only", writers.OURS_INT8, writers.GENERATE]
    writers.main(["--smoke", "--model", str(folder), "--output", str(output), "--threads", "1", *only])
    found = report(output)["measured"]["tokens per second, and seconds"]
    assert list(found) == only[1:] and set(found[writers.OURS_INT8][0]) == {"1", "2", "first token"}
    assert all(value > 0 for rounds in found.values() for value in rounds[0].values())
    assert "| first token at turn 15 against generate" in capsys.readouterr().out


def test_fine_tuning_trains_and_tests_every_contender(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "fine_tuning.json"
    base = ["--smoke", "--model", str(tiny_llama(tmp_path / "llama")), "--output", str(output), "--threads", "1"]
    work = ["--work", str(tmp_path / "work")]
    only = ["--only", "zero", "ours"]
    fine_tuning.main([*base, *work, *only])
    found = report(output)["measured"]["contenders"]
    assert list(found) == ["zero", "ours"] and found["ours"]["steps"] == 2
    assert all(one["test_perplexity_per_word"] > 1 for one in found.values())
    assert "at most 40: MISSED" in capsys.readouterr().out
    fine_tuning.main([*base, *work, *only, "--transcripts"])
    talks = report(output)["measured"]["transcripts"]
    assert [len(talk) for model in talks.values() for talk in model] == [10] * 6


def test_a_sentence_is_negated_by_rule() -> None:
    assert fine_tuning_persona.negated("i have two dogs.") == "i do not have two dogs."
    assert fine_tuning_persona.negated("my favorite music is country.") is None
    assert fine_tuning_persona.negated("i am a nurse.") == "i am not a nurse."
    assert fine_tuning_persona.negated("i never eat meat.") is None


def test_dialogues_with_a_persona_are_read_once(tmp_path: Path) -> None:
    lines = [
        {"persona": ["i am a nurse."], "turns": ["hi"], "candidates": ["x", "hello"]},
        {"persona": ["i am a nurse."], "turns": ["hi", "hello", "how are you"], "candidates": ["x", "fine"]},
        {"persona": ["i am tall."], "turns": ["hi"], "candidates": ["x", "hey"]},
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    examples = fine_tuning_persona.read_examples(tmp_path / "test.jsonl")
    talks = list(fine_tuning_persona.dialogues(examples))
    assert [talk["turns"] for talk in talks] == [["hi", "hello", "how are you", "fine"], ["hi", "hey"]]
