"""Write what the documentation says from one source: the directives themselves.

``python docs/generate.py`` rewrites docs/directives/index.md and docs/metrics.md, and in every page
of a directive the part between the two marks. The tests fail when a page is not current.
"""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import re
from pathlib import Path

from k8sdns.corefile.directive import Directive
from k8sdns.corefile.order import ORDER, ranked
from k8sdns.corefile.syntax import Row, syntax
from k8sdns.directives import discovered
from k8sdns.metrics import Metric, table

DOCS = Path(__file__).parent
FOLDER = DOCS / "directives"
BEGIN = "<!-- syntax: written by docs/generate.py -->"
END = "<!-- end of syntax -->"

# What CoreDNS's words are for that are not here; a reader may look for one.
ABSENT = {
    "autopath": "walks the client's search path on the server",
    "azure": "answers from Azure DNS",
    "clouddns": "answers from Google Cloud DNS",
    "dns64": "makes IPv6 addresses of IPv4 ones",
    "dnssec": "signs answers on the fly",
    "dnstap": "dnstap output",
    "etcd": "answers from etcd in SkyDNS's layout",
    "geoip": "MaxMind lookups for `metadata`",
    "grpc": "forwards over gRPC",
    "grpc_server": "limits of DNS over gRPC",
    "https": "limits of DNS over HTTPS",
    "https3": "limits of DNS over HTTP/3",
    "k8s_external": "external addresses of Services under another zone",
    "multisocket": "several sockets a port",
    "nomad": "answers from Nomad",
    "on": "runs commands on events",
    "proxyproto": "the PROXY protocol",
    "quic": "limits of DNS over QUIC",
    "route53": "answers from AWS Route 53",
    "secondary": "zones transferred in",
    "shed": "drops queries under overload",
    "sign": "signs zone files",
    "trace": "tracing spans",
    "tsig": "TSIG signatures",
}


def main() -> None:
    """Bring every page up to date."""
    found = own()
    (FOLDER / "index.md").write_text(index(found), encoding="utf-8")
    (DOCS / "metrics.md").write_text(metrics(table()), encoding="utf-8")
    for word, directive in found.items():
        page = FOLDER / f"{word}.md"
        if page.exists():
            page.write_text(current(page.read_text(encoding="utf-8"), directive), encoding="utf-8")


def own() -> dict[str, Directive]:
    """Return our directives by word, without those of other packages."""
    found = discovered()
    return {
        word: each for word, each in found.items() if each.settings.__module__.startswith("k8sdns.")
    }


def index(found: dict[str, Directive]) -> str:
    """Return the page that lists every word, in the order in which questions pass them."""
    follows = {word: each.follows for word, each in found.items() if each.follows is not None}
    words = ranked(found, follows)
    absent = sorted(set(ORDER) - set(found))
    return "\n".join(
        [
            "# Directives",
            "",
            "The words of a server block, in the order in which a question passes them, whatever",
            "order they have in the Corefile. `import` is read by",
            "[the Corefile language](../corefile.md) itself.",
            "",
            "| word | what it does |",
            "|---|---|",
            *(f"| [{word}]({word}.md) | {found[word].summary} |" for word in words),
            "",
            "## Words of CoreDNS that are not here",
            "",
            "A Corefile with one of these is refused; the error says so and names the line.",
            "",
            "| word | what it does in CoreDNS |",
            "|---|---|",
            *(f"| {word} | {ABSENT.get(word, '')} |" for word in absent),
            "",
        ]
    )


def current(page: str, directive: Directive) -> str:
    """Return `page` with the part between its marks written anew; a page without marks as it is."""
    marked = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)
    return marked.sub(lambda _: "\n".join([BEGIN, *_syntax(directive), END]), page)


def _syntax(directive: Directive) -> list[str]:
    found = syntax(directive.word, directive.settings)
    rows = [*found.arguments, *found.options]
    lines = ["", "```text", found.usage, "```", ""]
    if rows:
        lines += ["| | what it does | must be | default |", "|---|---|---|---|"]
        lines += [*map(_row, rows), ""]
    return lines


def _row(row: Row) -> str:
    name = "`" + f"{row.name} {row.form}".strip() + "`"
    cells = (name, row.help, row.says, row.default)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def metrics(found: tuple[Metric, ...]) -> str:
    """Return the page that lists every metric."""
    return "\n".join(
        [
            "# Metrics",
            "",
            "What [prometheus](directives/prometheus.md) shows at `/metrics`. Names that begin",
            "with `coredns_` mean what they mean in CoreDNS, labels and buckets included, so that",
            "its dashboards and alerts work unchanged; `k8sdns_` is what CoreDNS does not have.",
            "Metrics of the process (`process_cpu_seconds_total`, `process_resident_memory_bytes`,",
            "`process_open_fds` and others) are those of every Prometheus client.",
            "",
            "Counters and histograms without labels begin at 0; a series with labels appears with",
            "the first thing that it counts.",
            "",
            "| metric | type | labels | what it tells |",
            "|---|---|---|---|",
            *map(_metric_row, found),
            "",
            "## Buckets",
            "",
            "Upper bounds; `+Inf` follows each.",
            "",
            *(f"- `{each.name}`: {_bounds(each)}" for each in found if each.buckets),
            "",
        ]
    )


def _metric_row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def _bounds(metric: Metric) -> str:
    return " ".join(f"{bound:.10g}" for bound in metric.buckets)


if __name__ == "__main__":
    main()
