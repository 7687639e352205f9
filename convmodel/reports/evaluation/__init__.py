"""Evaluation of models: metrics with confidence intervals, results of each example, HTML page and comparison."""

from convmodel.errors import install_command

try:
    from convmodel.reports.evaluation.comparison import Comparison, Difference
    from convmodel.reports.evaluation.evaluate import Evaluation, evaluate
    from convmodel.reports.evaluation.examples import EvaluationOptions
    from convmodel.reports.evaluation.report import EvaluationReport, Number, load_report
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("sacrebleu", "matplotlib", "jinja2", "rich", "regex", "tqdm"):
        raise
    raise ModuleNotFoundError(
        f"evaluation needs {error.name}; {install_command('evaluate')}", name=error.name
    ) from None

__all__ = [
    "Comparison",
    "Difference",
    "Evaluation",
    "EvaluationOptions",
    "EvaluationReport",
    "Number",
    "evaluate",
    "load_report",
]
