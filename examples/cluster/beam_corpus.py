"""Run the steps of `convmodel corpus reddit` in an Apache Beam pipeline, for those who have a Beam runner already.

    python -m venv beam && . beam/bin/activate
    pip install -r examples/cluster/beam-requirements.txt && pip install --no-deps .
    python examples/cluster/beam_corpus.py --input 'comments/*.zst' --output corpus --runner DirectRunner

Input and output must be on a file system that all workers share. The files are equal, to the byte, to those of
`convmodel corpus reddit --input 'comments/*.zst' --output corpus`. Run that command afterwards: it finds all steps
finished, and writes corpus.json and corpus.html.
"""

import argparse
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsIter

from convmodel.data.corpus.folder import open_folder
from convmodel.data.corpus.steps import make_stages
from convmodel.data.step_runner import Step

OPTIONS: dict[str, Any] = {
    **{"dump": "reddit", "format": ".jsonl.zst", "valid": 0.005, "test": 0.005, "words": [], "buckets": None},
    **{"min_words": 1, "max_words": 128, "min_turns": 2, "max_turns": 20},
    **{"language": None, "certainty": 0.8, "similarity": None},
}
"""The options of the command, at their defaults."""


def run_step(step: Step, finished: Iterable[str]) -> str:
    """Run a step and return the name of its output. Beam reads `finished`, the steps before it, first."""
    step()
    return str(step.output)


def main() -> None:
    """Run all stages; a stage begins when the one before it is finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", required=True)
    parser.add_argument("--output", required=True)
    options, beam_options = parser.parse_known_args()
    plan = open_folder(options.output, options.input, OPTIONS)
    with beam.Pipeline(options=PipelineOptions(beam_options)) as pipeline:
        finished = pipeline | "begin" >> beam.Create([""])
        for stage, steps in make_stages(plan).items():
            finished = (
                pipeline
                | f"{stage}: steps" >> beam.Create(steps)
                | f"{stage}: share" >> beam.Reshuffle()
                | stage >> beam.Map(run_step, AsIter(finished))
            )


if __name__ == "__main__":
    main()
