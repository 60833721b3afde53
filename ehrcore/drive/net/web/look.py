"""How the page looks: one style and one script, inline, allowed by their digests alone (CSP level 3)."""

import base64
import hashlib
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--ink:#17202c;--soft:#5b6878;--line:#dfe4ea;--mark:#0b63b8;
--good:#146c43;--goodback:#dff3e8;--bad:#a4262c;--badback:#fbe6e7;--wait:#8a5a00;--waitback:#fdf0d5}
@media(prefers-color-scheme:dark){:root{--back:#10151c;--card:#18202a;--ink:#e6ebf1;--soft:#9aa8b8;--line:#2b3644;
--mark:#7cb8ff;--good:#7fdcae;--goodback:#123325;--bad:#ff9ba0;--badback:#41191c;--wait:#ffcf70;--waitback:#3b2c0c}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
header,main,footer{max-width:64rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;align-items:center;gap:.3rem 1rem;padding-top:1.2rem;padding-bottom:.8rem}
header b{font-size:1.25rem}header a{color:inherit;text-decoration:none}
footer{color:var(--soft);font-size:.85rem;padding-top:.5rem;padding-bottom:2rem}
h1{font-size:1.35rem;margin:.6rem 0}h2{font-size:1.05rem;margin:1.6rem 0 .5rem}
a{color:var(--mark)}a:focus-visible,button:focus-visible,input:focus-visible{outline:3px solid var(--mark);
outline-offset:1px}
.soft{color:var(--soft)}code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.88em}
code{overflow-wrap:anywhere}
.badge{border-radius:99px;padding:.1rem .7rem;font-size:.85rem;font-weight:600}
.good{color:var(--good);background:var(--goodback)}.bad{color:var(--bad);background:var(--badback)}
.wait{color:var(--wait);background:var(--waitback)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem}
.card,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px}
.card{padding:.7rem .9rem}.card span{display:block;color:var(--soft);font-size:.8rem}
.card strong{font-size:1.35rem;font-weight:650;font-variant-numeric:tabular-nums}
.panel{overflow-x:auto}table{width:100%;border-collapse:collapse}
th,td{padding:.5rem .9rem;text-align:left;border-top:1px solid var(--line);white-space:nowrap;
font-variant-numeric:tabular-nums}
thead th{border-top:0;color:var(--soft);font-size:.8rem;font-weight:600}
.number{text-align:right}
dl{margin:0;display:grid;grid-template-columns:minmax(8rem,max-content) 1fr}
dt,dd{margin:0;padding:.45rem .9rem;border-top:1px solid var(--line)}dt{color:var(--soft)}
dt:first-of-type,dd:first-of-type{border-top:0}dd{min-width:0}ol{margin:0;padding-left:1.4rem}
form{display:flex;gap:.5rem;margin:1rem 0}input,button{font:inherit;border-radius:8px;padding:.5rem .8rem}
input{flex:1;min-width:0;border:1px solid var(--line);background:var(--card);color:var(--ink)}
input::placeholder{color:var(--soft);opacity:1}
button{border:0;background:var(--mark);color:var(--card);font-weight:600;cursor:pointer}
.notice{border-radius:10px;padding:.7rem .9rem;margin:.6rem 0}
label{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
@media(max-width:40rem){.wide{display:none}th,td{padding:.45rem .6rem}dl{grid-template-columns:1fr}
dt{padding-bottom:0}dd{border-top:0;padding-top:0}.cards{grid-template-columns:1fr 1fr}.card strong{font-size:1.15rem}}
"""

#: Replaces what may have changed by the same part of the page fetched anew, while someone looks at it.
SCRIPT: Final = """
setInterval(async()=>{if(document.hidden)return;try{
const answer=await fetch(location.href);if(!answer.ok)throw 0;
const fresh=new DOMParser().parseFromString(await answer.text(),'text/html');
for(const old of document.querySelectorAll('[data-live]')){const next=fresh.getElementById(old.id);
if(next&&next.innerHTML!==old.innerHTML)old.replaceWith(document.importNode(next,true))}
}catch{const phase=document.getElementById('phase');
phase.innerHTML='<span class="badge bad">does not answer</span>'}},2000)
"""


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


#: Nothing is loaded from anywhere, nothing runs but the above, and no other site may frame the page.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_source(STYLE)}",
        f"script-src {_source(SCRIPT)}",
        "connect-src 'self'",
        "form-action 'self'",
        "img-src data:",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
