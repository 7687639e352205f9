"""A model and conversations in, a report out: numbers with intervals, replies line by line, a page, a comparison."""

try:
    from convmodel.reports.evaluation.comparison import Comparison, Difference
    from convmodel.reports.evaluation.evaluate import Evaluation, evaluate
    from convmodel.reports.evaluation.examples import Options
    from convmodel.reports.evaluation.report import Number, Report, load_report
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("sacrebleu", "matplotlib", "rich", "regex", "tqdm"):
        raise
    raise ModuleNotFoundError(
        f'evaluation needs {error.name}; pip install "convmodel[evaluate]"', name=error.name
    ) from None

__all__ = ["Comparison", "Difference", "Evaluation", "Number", "Options", "Report", "evaluate", "load_report"]
