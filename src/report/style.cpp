#include "report/style.h"

#include <fmt/format.h>

namespace cifar {

// The line colours keep a contrast of at least 4 to the surface in both modes.
const char* const kColours = R"css(
:root {
  --page: #f5f6f8; --surface: #ffffff; --text: #1b1f24; --muted: #57606a; --border: #d8dde3;
  --grid: #e4e8ec; --right: #2563eb; --wrong: #d9480f; --warning: #fff3d1; --warning-text: #6b4300;
  --c0: #2563eb; --c1: #c2410c; --c2: #2b8a3e; --c3: #9c36b5;
  --c4: #c2255c; --c5: #0b7285; --c6: #846200; --c7: #495057;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --surface: #181c22; --text: #e6e9ee; --muted: #a0aab6; --border: #2e353f;
    --grid: #2a313b; --right: #5c93f7; --wrong: #f0803c; --warning: #3b2f12; --warning-text: #ffd98a;
    --c0: #74a7ff; --c1: #ff9a5c; --c2: #69db7c; --c3: #da77f2;
    --c4: #ff8fb1; --c5: #3bc9db; --c6: #e0b83a; --c7: #ced4da;
  }
}
)css";

const char* const kPageStyle = R"css(
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 12px; }
p { margin: 0 0 12px; max-width: 75ch; overflow-wrap: anywhere; }
.muted, caption { color: var(--muted); }
.answer { font-size: 1.1rem; border-left: 4px solid var(--right); padding: 2px 0 2px 14px; }
.warning { background: var(--warning); color: var(--warning-text); border-radius: 8px;
  padding: 8px 12px; max-width: none; }
section, details { background: var(--surface); border: 1px solid var(--border);
  border-radius: 10px; padding: 16px; margin-top: 16px; }
summary { cursor: pointer; font-weight: 600; }
details[open] summary { margin-bottom: 12px; }
pre { margin: 0; overflow-x: auto; font-size: 12.5px; line-height: 1.45; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px;
  margin: 16px 0 0; }
.tiles div { background: var(--surface); border: 1px solid var(--border); border-radius: 10px;
  padding: 10px 14px; }
.tiles dt { color: var(--muted); font-size: 13px; }
.tiles dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles dd.note { color: var(--muted); font-size: 13px; font-weight: 400; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 20px 24px; }
.charts + p, .scroll + p { margin: 12px 0 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--grid);
  white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; vertical-align: bottom; }
tbody th { font-weight: 500; white-space: normal; position: sticky; left: 0;
  background: var(--surface); }
td .bar { display: inline-block; width: 110px; height: 9px; margin-right: 8px; border-radius: 3px;
  background: linear-gradient(to right, var(--right) var(--part), var(--grid) var(--part)); }
.stack { display: flex; height: 22px; border-radius: 6px; overflow: hidden; margin-bottom: 12px; }
.stack span { flex: 0 0 var(--part); background: var(--colour); }
.swatch { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 8px;
  background: var(--colour); }
.confusion td, .confusion thead th { text-align: center; padding: 4px 2px; }
.confusion { table-layout: fixed; max-width: 720px; font-size: 13px; }
.confusion tr > :first-child { width: 86px; }
.confusion thead th { height: 86px; border: 0; }
.confusion thead td { border: 0; }
.confusion thead span { writing-mode: vertical-rl; rotate: 180deg; text-align: left; }
.confusion tbody td { border: 1px solid var(--surface);
  background: color-mix(in srgb, var(--wrong) var(--part), var(--surface)); }
.confusion tbody td.right { background: color-mix(in srgb, var(--right) var(--part), var(--surface));
  font-weight: 600; }
.confusion td.none { color: var(--muted); }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr));
  gap: 14px 10px; }
.mistakes figure { margin: 0; }
.mistakes img { width: 100%; height: auto; max-width: 96px; aspect-ratio: 1; border-radius: 6px; display: block;
  image-rendering: pixelated; }
figcaption { font-size: 12.5px; line-height: 1.35; margin-top: 4px; }
@media (max-width: 480px) {
  main { padding: 16px 10px 32px; }
  section, details { padding: 12px 10px; }
  th, td { padding: 5px 6px; }
  td .bar { display: block; width: 64px; margin: 0 0 0 auto; }
  .confusion { font-size: 11px; }
  .confusion tr > :first-child { width: 70px; }
  .confusion td { padding: 5px 0; }
}
@media print {
  body { background: none; }
  main { max-width: none; padding: 0; }
  section, .tiles div, figure, tr, svg { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
)css";

const char* const kChartStyle = R"css(
.chart { background: var(--surface); width: 100%; height: auto; display: block;
  font: 12px system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
.chart text { fill: var(--muted); }
.chart .title { fill: var(--text); font-weight: 600; font-size: 14px; }
.chart .grid { stroke: var(--grid); stroke-width: 1; }
.chart .line { fill: none; stroke: var(--colour); stroke-width: 2; stroke-linejoin: round; }
.chart .spread { stroke: var(--colour); stroke-width: 10; opacity: 0.3; }
.chart .band { fill: var(--colour); opacity: 0.14; }
.chart .dot { fill: var(--colour); }
.chart .dashed { stroke-dasharray: 5 3; }
.k0 { --colour: var(--c0); } .k1 { --colour: var(--c1); } .k2 { --colour: var(--c2); }
.k3 { --colour: var(--c3); } .k4 { --colour: var(--c4); } .k5 { --colour: var(--c5); }
.k6 { --colour: var(--c6); } .k7 { --colour: var(--c7); }
)css";

std::string line_class(size_t index) {
  constexpr size_t kColourCount = 8;
  return fmt::format("k{}{}", index % kColourCount, index < kColourCount ? "" : " dashed");
}

}  // namespace cifar
