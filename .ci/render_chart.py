"""Renders a Helm chart with Helm's own library: what `helm template --include-crds=false` prints.

For machines without the program `helm`. Runs in the environment of `make infra-tools`:
.venv-infra/bin/python .ci/render_chart.py CHART NAME NAMESPACE [VALUES.yaml ...], `-` for input.
"""

import sys

import helm_python
import yaml


def main(chart: str, name: str, namespace: str, *files: str) -> int:
    values: dict[str, object] = {}
    for file in files:
        with sys.stdin if file == "-" else open(file, encoding="utf-8") as text:
            values |= yaml.safe_load(text) or {}
    try:
        loaded = helm_python.Chart.load(chart)
        loaded.validate_schema(values)
        found = loaded.render(values, name=name, namespace=namespace)
        report = helm_python.lint(chart, values, strict=True)
    except helm_python.HelmError as error:
        print(error, file=sys.stderr)
        return 1
    wrong = [each["error"] for each in report["messages"] if each["severity"] >= 2]
    if wrong or report["errors"]:
        print("\n".join([*wrong, *report["errors"]]), file=sys.stderr)
        return 1
    for path, text in sorted(found.items()):
        if text.strip() and not path.endswith("NOTES.txt"):
            print(f"---\n# Source: {path}\n{text.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
