"""Writes the tables of the Terraform modules' READMEs: ``terraform_readme.py [--check]``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).parents[1] / "infra" / "terraform"
BEGIN, END = "<!-- tables: made by .ci/terraform_readme.py -->", "<!-- end of tables -->"


def blocks(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Variables or outputs of a module, by name, in the order of the file."""
    file = folder / f"{kind}s.tf"
    found = hcl2.loads(file.read_text(encoding="utf-8")).get(kind, []) if file.exists() else []
    return {name.strip('"'): body for block in found for name, body in block.items()}


def said(body: dict[str, Any]) -> str:
    """The description on one line, fit for a table."""
    text = re.sub(r'^"|"$', "", str(body.get("description", "")))
    text = re.sub(r'^<<-?EOT\s*|\s*EOT"?$', "", text)
    return " ".join(text.replace('\\"', '"').split()).replace("|", "\\|")


def shown(body: dict[str, Any]) -> str:
    """Whether it must be given, and a default that fits into a table."""
    if "default" not in body:
        return "required"
    value = body["default"]
    if isinstance(value, (dict, list)):
        return "`{}`" if value == {} else "`[]`" if value == [] else "see `variables.tf`"
    return (
        f"`{str(value).replace('None', 'null').replace('True', 'true').replace('False', 'false')}`"
    )


def tables(folder: Path) -> str:
    """Inputs and outputs."""
    lines = [BEGIN, "## Inputs", "", "| name | what it is | default |", "|---|---|---|"]
    lines += [f"| `{n}` | {said(b)} | {shown(b)} |" for n, b in blocks(folder, "variable").items()]
    lines += ["", "## Outputs", "", "| name | what it is |", "|---|---|"]
    lines += [f"| `{n}` | {said(b)} |" for n, b in blocks(folder, "output").items()]
    return "\n".join([*lines, END])


def renewed(folder: Path) -> str:
    """The README with its tables as the files are now."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head.rstrip()}\n\n{tables(folder)}{tail.rstrip()}\n"


def main() -> int:
    """Write the tables, or with --check only say which are old."""
    folders = [p for p in sorted(ROOT.glob("*/*")) if (p / "variables.tf").exists()]
    old = [p for p in folders if renewed(p) != (p / "README.md").read_text(encoding="utf-8")]
    for folder in old:
        if "--check" in sys.argv:
            print(f"{folder / 'README.md'}: run .ci/terraform_readme.py")
        else:
            (folder / "README.md").write_text(renewed(folder), encoding="utf-8")
    return 1 if old and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
