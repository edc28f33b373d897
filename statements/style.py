"""How a page looks, on a screen and on paper. Contrast is at least 4.5 to 1 throughout (WCAG 2.2 AA)."""

from typing import Final

CSS: Final = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  margin: 0 auto; padding: 1.5rem; max-width: 72rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1.05rem; margin-bottom: .3rem; overflow-wrap: anywhere; }
section.settlement { border-top: 2px solid #595959; padding-top: .5rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0 1rem; min-width: 40%; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0;
  border-bottom: 1px solid #c4c4c4; overflow-wrap: anywhere; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.product { font-variant-numeric: tabular-nums; }
tfoot th, tfoot td { border-bottom: 0; }
tfoot tr:first-child > * { border-top: 2px solid #595959; }
.held { font-weight: 600; border-left: .4rem solid #8a4b00; padding-left: .6rem; }
.quiet { color: #505050; }
code { font-size: .85em; }
svg { width: 100%; height: auto; max-width: 60rem; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: #1a1a1a; }
svg .axis { stroke: #767676; stroke-width: 1; fill: none; }
svg .power { stroke: #004c97; stroke-width: 1.5; fill: none; }
svg .price { stroke: #1a1a1a; stroke-width: 1.5; fill: none; stroke-dasharray: 6 3; }
svg .heat { stroke: #9a1f1f; stroke-width: 1.5; fill: none; stroke-dasharray: 1.5 2.5; }
svg .paid { fill: #cfe5d2; stroke: #2c6b36; stroke-width: 1; }
svg .unpaid { fill: url(#hatch); stroke: #8a4b00; stroke-width: 1; }
@media print {
  body { font-size: 10.5pt; padding: 0; max-width: none; }
  section.settlement { break-inside: avoid-page; }
  tr, svg, caption { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
  thead { display: table-header-group; }
  .wide { overflow-x: visible; }
  .paid, .unpaid { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
