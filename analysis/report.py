#!/usr/bin/env python3
"""One HTML file from a sweep: figures and the paper's tables.

    umed report out/paper                               (makes out/paper/results.h5)
    bash analysis/deps.sh
    python3 analysis/report.py out/paper                -> out/paper/report/index.html, and every figure as PNG beside it

--clean NAME=PATH says where a clean dataset is now, for the panel of perturbations; without it the place where it was is tried.
--tables FILE: the output of `umed report DIR --format markdown`, to stand below the figures."""

import argparse
import base64
import html
import io
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import figures
from results import Results, mean_sd

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
figure { margin: 0 0 2em } figcaption { color: #555; max-width: 60em } img { max-width: 100% }
table { border-collapse: collapse; font-size: 13px; margin: 1em 0 } th, td { padding: .2em .6em; text-align: right }
th:first-child, td:first-child { text-align: left } tr:nth-child(even) { background: #f4f4f4 } th { border-bottom: 1px solid #999 }"""


def summary(results):
    """A line for every dataset, method, network and defense."""
    rows = {}
    for c in results.cells:
        rows.setdefault((c["dataset"], c["method"], c["bound"], c["exploiter"], c["defense"]), []).append(c)
    body = []
    for key, cells in rows.items():
        dsc, sd = mean_sd([100 * c["test_dsc_batch"] for c in cells])
        jac, _ = mean_sd([100 * c["test_jaccard_batch"] for c in cells])
        psnr, _ = mean_sd([c["psnr"] for c in cells])
        text = [figures.title(k) for k in key] + [f"{dsc:.2f} ± {sd:.2f}" if len(cells) > 1 else f"{dsc:.2f}", f"{jac:.2f}",
                                                  f"{psnr:.2f}" if psnr == psnr else "", str(len(cells))]
        body.append("<tr>" + "".join(f"<td>{html.escape(t)}</td>" for t in text) + "</tr>")
    head = "".join(f"<th>{h}</th>" for h in ("dataset", "method", "bound", "network", "defense", "DSC (%)", "Jaccard (%)", "PSNR (dB)", "seeds"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def markdown_tables(text):
    """The tables of `umed report --format markdown` as HTML; other lines are paragraphs."""
    out, table = [], []

    def flush():
        if table:
            rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if not set(line) <= set("|-: ")]
            cells = ["".join(f"<{t}>{html.escape(c)}</{t}>" for c in row) for row, t in zip(rows, ["th"] + ["td"] * len(rows))]
            out.append("<table>" + "".join(f"<tr>{c}</tr>" for c in cells) + "</table>")
            table.clear()

    for line in text.splitlines():
        if line.startswith("|"):
            table.append(line)
            continue
        flush()
        if line.startswith("**"):
            out.append(f"<h3>{html.escape(line.strip('*'))}</h3>")
        elif line.strip():
            out.append(f"<p>{html.escape(line)}</p>")
    flush()
    return "".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="sweep folder with results.h5")
    parser.add_argument("-o", "--output", type=pathlib.Path, help="folder of the report (default FOLDER/report)")
    parser.add_argument("--clean", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--tables", type=pathlib.Path, help="markdown tables to include")
    args = parser.parse_args()
    results = Results(args.folder)
    output = args.output or pathlib.Path(args.folder) / "report"
    output.mkdir(parents=True, exist_ok=True)
    parts = []
    for stem, heading, caption, figure in figures.everything(results, dict(c.split("=", 1) for c in args.clean)):
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=130)
        figures.plt.close(figure)
        (output / f"{stem}.png").write_bytes(png.getvalue())
        data = base64.b64encode(png.getvalue()).decode()
        parts.append(f'<figure><h2>{html.escape(heading)}</h2><img alt="{html.escape(heading)}" src="data:image/png;base64,{data}">'
                     f"<figcaption>{html.escape(caption)}</figcaption></figure>")
    seeds = len({c["seed"] for c in results.cells})
    lead = f"<p>{len(results.cells)} trainings and {len(results.protections)} protected datasets, {seeds} seed{'s' * (seeds != 1)}. DSC and Jaccard " \
           "index are of clean test images, counts pooled per test batch and averaged.</p>"
    tables = markdown_tables(args.tables.read_text(encoding="utf-8")) if args.tables else ""
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>umed: {html.escape(str(args.folder))}</title><style>{STYLE}</style>' \
           f"<h1>Protection of segmentation datasets</h1>{lead}{''.join(parts)}<h2>All results</h2>{summary(results)}{tables}</html>"
    (output / "index.html").write_text(page, encoding="utf-8")
    print(output / "index.html")


if __name__ == "__main__":
    main()
