"""What the page of a report looks like: light or dark as the reader has it, and on a phone."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1d2129; --faint: #9aa0aa; --ground: #fff; --card: #f4f5f7; --line: #dfe2e7;
  --model: #2f6fdb; --gold: #9a6700; --good: #177a3c; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e7ec; --faint: #858c98; --ground: #14171c; --card: #1e2229; --line: #333943;
    --model: #7fabff; --gold: #e3b04b; --good: #6fd392; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; }
p { margin: .4rem 0; }
small { color: color-mix(in srgb, var(--ink) 72%, var(--ground)); }
summary { cursor: pointer; }
.note { border-left: 4px solid var(--gold); padding: .3rem .8rem; background: var(--card); }

.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td {
  text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top;
  font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal;
}
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 9rem; }
tbody th { padding-top: 1rem; }
td small { display: block; }
.compared :is(th, td):nth-child(2) { text-align: left; }
.better { color: var(--good); font-weight: 600; }
.worse { color: var(--bad); font-weight: 600; }

.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; }
figcaption { font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: system-ui, sans-serif !important; }

.sides { display: grid; gap: 1.5rem; grid-template-columns: 1fr 1fr; }
article { background: var(--card); border-radius: .6rem; padding: .7rem .9rem; margin-bottom: 1rem; }
.persona { font-size: .9rem; font-style: italic; white-space: pre-line; }
.turn {
  white-space: pre-wrap; margin: .3rem 0; width: fit-content; max-width: 92%; padding: .3rem .6rem;
  background: var(--ground); border: 1px solid var(--line); border-radius: .6rem;
}
.right { margin-left: auto; }
.said {
  border-left: 4px solid var(--model); border-radius: .2rem; width: auto; max-width: 100%;
  max-height: 24rem; overflow-y: auto;
}
.said b { font-size: .8rem; margin-right: .5rem; color: var(--model); }
.gold { border-left-color: var(--gold); }
.gold b { color: var(--gold); }

dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { font-weight: 600; }
dd { margin: 0; }

@media (max-width: 44rem) {
  .sides { grid-template-columns: 1fr; }
  table { font-size: .85rem; }
  th, td { padding: .3rem .2rem; white-space: normal; }
  td:first-child { min-width: 7rem; }
  .compared :is(th, td):nth-child(2) { min-width: 6rem; }
  .compared :is(th, td):nth-child(5) { display: none; }
}
"""
