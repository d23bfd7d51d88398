"""Writes rules.yaml: ``python k8s/components/prometheus-operator/build.py``, after a change of docker/prometheus/rules.

Prometheus and its operator want the same groups at different places, and kustomize cannot move them. A test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

_FOLDER = Path(__file__).parent
_RULES = _FOLDER.parents[2] / "docker" / "prometheus" / "rules"
_HEAD = """\
# Made by build.py from docker/prometheus/rules/{file}.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {name}
spec:
"""


def main(file: Path = _FOLDER / "rules.yaml") -> None:
    """Write an object for each file of rules."""
    file.write_text("---\n".join(_object(rules) for rules in sorted(_RULES.glob("*.yml"))))


def _object(rules: Path) -> str:
    lines = (f"  {line}" if line.strip() else line for line in rules.read_text().splitlines(keepends=True))
    return _HEAD.format(file=rules.name, name=rules.stem.replace("_", "-")) + "".join(lines)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
