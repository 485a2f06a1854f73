"""The style sheet of the HTML report."""

STYLE = """
:root { color-scheme: light; --ink: #22262b; --soft: #6b7280; --rule: #e2e5e9; --known: #14783c; --map: #b45309;
  --hard: #7c3aed; --easy: #0284c7; --impossible: #9ca3af }
body { margin: 0; background: #fff; color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1240px; margin: 0 auto; padding: 32px 24px 80px }
h1 { font-size: 30px; margin: 0 0 8px } h2 { margin: 48px 0 12px; font-size: 22px } h3 { margin: 28px 0 8px }
.lead, figcaption, .legend { color: var(--soft) } .lead { max-width: 90ch }
li { margin: 4px 0; max-width: 110ch }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top }
td { white-space: nowrap } th { color: var(--soft); font-weight: 600 } td:first-child { font-weight: 600 }
figure { margin: 20px 0 } figcaption { margin-bottom: 6px; font-size: 14px }
img { max-width: min(100%, 960px); border: 1px solid var(--rule) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 8px 28px }
svg { width: 100%; font: 12px system-ui, sans-serif } svg .label { text-anchor: end } svg .tick { text-anchor: middle }
svg .tick, svg .beyond { fill: var(--soft) } svg .grid { stroke: var(--rule) }
svg .border { stroke: var(--hard); stroke-dasharray: 5 4; stroke-width: 1.5 }
svg g line { stroke: currentColor; stroke-width: 2 } svg g circle { fill: currentColor }
.known { color: var(--known) } .map { color: var(--map) } .hard { color: var(--hard) } .easy { color: var(--easy) }
.impossible { color: var(--impossible) }
.key { margin-right: 22px } .key::before { content: "\\25CF  " }
"""
