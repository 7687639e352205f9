"""Perplexities and rates of fine-tuned models in, a table and the results of the aims out."""

from benchmarks.common import Ratio, table
from benchmarks.fine_tuning_job import Found

PERPLEXITY = "test_perplexity_per_word"
AT_MOST = 40.0
AIM = 36.0
TIMES_TRL = 1.2
LABELS = {
    "zero": "zero-shot",
    "ours": "ours, LoRA",
    "scratch": "GPT-2 from scratch",
    "trl": "TRL's SFTTrainer with peft",
}


def shown(found: Found) -> str:
    """Return a table with a row for each contender, and the aims."""
    header = ["", "perplexity per word", "steps", "minutes", "tokens read/s", "useful tokens/s"]
    rows = [[LABELS.get(name, name), f"{one[PERPLEXITY]:.2f}", *rates_cells(one)] for name, one in found.items()]
    return "\n".join([table(header, rows), "", *(f"- {text}" for text in verdicts(found))])


def rates_cells(one: Found) -> list[str]:
    """Return steps, minutes and rates of a training as cells of a table."""
    if "steps" not in one:
        return [""] * 4
    names = ("tokens_read_per_second", "useful_tokens_per_second")
    return [f"{one['steps']:,}", f"{one['seconds'] / 60:.1f}", *(f"{one[name]:,.0f}" for name in names)]


def verdicts(found: Found) -> list[str]:
    """Return what came of the aims."""
    if "ours" not in found:
        return []
    ours = found["ours"]
    reached = {True: "reached", False: "MISSED"}
    word = ours[PERPLEXITY]
    lines = [f"at most {AT_MOST:g}: {reached[word <= AT_MOST]}; aim {AIM:g}: {reached[word <= AIM]}"]
    if "trl" in found:
        lines.append(f"no higher perplexity than TRL: {reached[word <= found['trl'][PERPLEXITY]]}")
        speed = ratios(found, claimed=True)[0]
        lines.append(f"useful tokens/s: {speed.median:.2f}x TRL, at least {TIMES_TRL:g}x: {speed.verdict}")
    return lines


def ratios(found: Found, *, claimed: bool) -> list[Ratio]:
    """Return ours against TRL in useful tokens per second."""
    if not {"ours", "trl"} <= set(found):
        return []
    speeds = [[max(found[name]["useful_tokens_per_second"], 1e-9)] for name in ("ours", "trl")]
    return [Ratio.of("useful tokens/s, against TRL", *speeds, at_least=TIMES_TRL if claimed else None)]
