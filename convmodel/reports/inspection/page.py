"""An inspection in, one HTML page that needs nothing else out; whatever stands in the data stays text."""

import os
from typing import Any

from jinja2 import Environment

from convmodel.data.atomic import atomic_file
from convmodel.reports.inspection.inspect import Inspection
from convmodel.reports.inspection.tables import (
    file_table,
    frequent_table,
    grouped,
    notes,
    pair_table,
    script_table,
    sentence,
    short_names,
    verdict,
)
from convmodel.reports.plots import length_picture

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; }
body { max-width: 62rem; margin: 0 auto; padding: 1rem; } h1 { font-size: 1.5rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; border-bottom: 1px solid #e3e6ea; }
.numbers td, .numbers th + th { text-align: right; white-space: nowrap; }
.numbers tbody th { white-space: pre-wrap; }
 tbody th { font-weight: normal; color: #4a5260; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.pictures svg { max-width: 100%; height: auto; flex: 1 1 26rem; }
.mark { font-size: .8rem; font-weight: 600; padding: .05rem .5rem; border-radius: 1rem; margin-right: .4rem; }
.problem { background: #fbe3e1; color: #8c1d13; } .remark { background: #fdf1cf; color: #6b4e00; }
.fine { background: #e0f3e6; color: #14532d; }
.verdict { font-size: 1.1rem; padding: .5rem .9rem; border-radius: .5rem; }
p { margin: .2rem 0; } .advice, .notes { color: #4a5260; } ul { margin: .2rem 0 .6rem; padding-left: 1.2rem; }
li { overflow-wrap: anywhere; } .place { color: #1f5fa8; font-family: ui-monospace, monospace; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="verdict {{ 'problem' if problems else 'fine' }}">{{ verdict }}</p>
{% macro table(which, class="") %}
<div class="wide"><table class="{{ class }}">
<thead><tr>{% for name in which.header %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in which.rows %}
<tr><th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% endmacro %}
<h2>Files</h2>
{{ table(files, "numbers") }}
<h2>Lengths</h2>
<div class="pictures">{% for picture in pictures %}{{ picture | safe }}{% endfor %}</div>
{% if pairs.rows %}<h2>Shared between files</h2>
<p class="advice">Conversations of the second that are in the first word for word, or nearly; replies of the second
that are in the first with all before them.</p>
{{ table(pairs, "numbers") }}{% endif %}
<h2>Findings</h2>
{% for kind, findings in found %}
<h3><span class="mark {{ kind.severity }}">{{ kind.severity }}</span>{{ kind.heading }}</h3>
<p class="advice">{{ kind.advice }}</p>
{% for finding in findings %}<p>{{ sentence(finding, names) }}</p>
{% if finding.examples %}<ul>{% for example in finding.examples %}
<li><span class="place">{{ example.place }}</span> {{ example.text }}</li>{% endfor %}</ul>{% endif %}
{% endfor %}{% else %}<p>None.</p>{% endfor %}
<h2>Scripts</h2>
{{ table(scripts) }}
{% if frequent.rows %}<h2>Most frequent turns</h2>
{{ table(frequent) }}{% endif %}
<h2>How it was measured</h2>
{% for note in notes %}<p class="notes">{{ note }}</p>{% endfor %}
</body>
</html>
"""


def write_page(inspection: Inspection, path: str | os.PathLike[str]) -> None:
    """Writes the page; it appears, or is replaced, when it is whole."""
    page = render(inspection)
    with atomic_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8")


def render(inspection: Inspection) -> str:
    """The page as text."""
    names = short_names([report.source for report in inspection.files])
    template = Environment(autoescape=True).from_string(TEMPLATE)
    return template.render(
        title=f"Conversations: {', '.join(names.values())}",
        verdict=verdict(inspection),
        problems=inspection.problems,
        files=file_table(inspection),
        pictures=_pictures(inspection, names),
        pairs=pair_table(inspection),
        found=grouped(inspection),
        sentence=sentence,
        names=names,
        scripts=script_table(inspection),
        frequent=frequent_table(inspection),
        notes=notes(inspection),
    )


def _pictures(inspection: Inspection, names: dict[str, str]) -> list[Any]:
    window = inspection.ruler.max_length
    conversations = [(names[report.source], report.conversation_tokens) for report in inspection.files]
    turns = [(names[report.source], report.turn_tokens) for report in inspection.files]
    return [
        length_picture("Tokens of a conversation", conversations, window=window),
        length_picture("Tokens of a turn", turns),
    ]
