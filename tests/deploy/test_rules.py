"""Prometheus's configuration and rules, by Prometheus's own tool."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.prometheus import FOLDER, RULES, needs_prometheus, promtool

UNIT_TESTS = sorted((FOLDER / "tests").glob("*.yml"))


@needs_prometheus
def test_configuration() -> None:
    """It is valid, and so are the rules it names."""
    promtool("check", "config", FOLDER / "prometheus.yml")
    promtool("check", "rules", *RULES)


@needs_prometheus
@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.name)
def test_rules_unit_tests(file: Path) -> None:
    """Alerts fire when they should, and not before."""
    promtool("test", "rules", file)


@pytest.mark.parametrize("rules", RULES, ids=lambda file: file.name)
def test_each_alert_is_tested_and_says_what_to_do(rules: Path) -> None:
    """Its unit test has it fire; it has a severity, a summary and a description."""
    tested = (FOLDER / "tests" / rules.name).read_text()
    alerts = re.split(r"\n +- (?=alert:|record:)", rules.read_text())
    alerts = [alert for alert in alerts if alert.startswith("alert:")]
    assert alerts
    for alert in alerts:
        name = re.match(r"alert: (\w+)", alert)
        assert name, alert
        assert f'ALERTS{{alertname="{name[1]}",alertstate="firing"' in tested
        for field in (r"labels: \{severity: (critical|warning)\}", r"summary: .", r"description: ."):
            assert re.search(field, alert), f"{name[1]}: {field}"
