"""How the page looks: light and dark, narrow and wide, in colours that colour-blind eyes tell apart."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#57606a;--rule:#d0d7de;--card:#f6f8fa;
--good:#005a9c;--warn:#7a4b00;--bad:#a4262c;--read:#0072b2;--sent:#c44f00}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e9ec;--dim:#a2abb4;--rule:#3b434b;--card:#1e2327;
--good:#79c0ff;--warn:#f0b849;--bad:#ff9a91;--read:#56b4e9;--sent:#e69f00}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:72rem;background:var(--bg);color:var(--fg);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.2rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .25rem}
p{margin:.25rem 0}
.dim{color:var(--dim)}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.status{border-left:.4rem solid currentColor;padding:.4rem .8rem;background:var(--card);font-weight:600}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.5rem;margin:1rem 0}
.figures div{background:var(--card);border:1px solid var(--rule);border-radius:.4rem;padding:.5rem .75rem}
.figures dt{color:var(--dim);font-size:.85rem}
.figures dd{margin:0;font-size:1.1rem;font-weight:600;font-variant-numeric:tabular-nums}
ul{margin:.25rem 0;padding-left:1.25rem}
ul ul{color:var(--dim)}
figure{margin:0;max-width:40rem}
svg{display:block;width:100%;height:auto}
svg text{font:14px system-ui,sans-serif;fill:var(--fg)}
.grid{stroke:var(--rule)}.mark{stroke:var(--dim)}
.line{fill:none;stroke-width:2}.read{stroke:var(--read)}.sent{stroke:var(--sent);stroke-dasharray:7 3}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid var(--read)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--rule)}
td,th{overflow-wrap:normal}
thead th{color:var(--dim);font-size:.85rem;white-space:nowrap}
tbody th{font-weight:400}
.name{min-width:11rem;overflow-wrap:anywhere}
.place{min-width:9rem;overflow-wrap:anywhere}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.settings td{overflow-wrap:anywhere}
.settings th{color:var(--dim);width:12rem}
@media(max-width:40rem){.settings th{width:8rem}}
@media print{.scroll{overflow:visible}}
"""

POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The page's Content-Security-Policy: its own style sheet, and nothing else from anywhere."""
