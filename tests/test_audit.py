"""What `make lint` says of known faults of packages, by reports as pip-audit writes them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FAULT = {'id': 'GHSA-1', 'fix_versions': ['1.1', '2.0'], 'aliases': ['CVE-1'], 'description': 'It\nreads\x1b all.'}
SOUND = {'name': 'sound', 'version': '1', 'vulns': []}
UNKNOWN = {'name': 'ours', 'skip_reason': 'not on the index'}


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location('audit_script', ROOT / 'scripts/audit.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({'dependencies': packages, 'fixes': []})


def test_a_known_fault_is_told_with_the_versions_without_it(audit: ModuleType) -> None:
    assert audit.verdict(report(SOUND, {'name': 'bad', 'version': '1', 'vulns': [FAULT]}), '') == (
        1, ['audit: bad 1: GHSA-1, fixed in 1.1 or 2.0: It reads\\x1b all.'])


@pytest.mark.parametrize('by', ['GHSA-1', 'CVE-1'])
def test_a_finding_that_is_listed_by_any_of_its_ids_is_passed_over(audit: ModuleType, by: str) -> None:
    audit.IGNORED[by] = 'we do not call it'
    assert audit.verdict(report({'name': 'bad', 'version': '1', 'vulns': [FAULT]}, UNKNOWN), '') == (
        0, ['audit: no known vulnerability; packages checked: 1, 1 are not on the index: ours.'])


@pytest.mark.parametrize(('printed', 'said', 'line'), [
    ('', 'Traceback\n  x\nNoRoute: to it\n', 'made no report, so nothing was checked: NoRoute: to it'),
    ('', '', 'made no report, so nothing was checked: it printed nothing'),
    ('{"dependencies": 3}', 'x', 'made no report'), ('[]', 'x', 'made no report'),
    (report(UNKNOWN, UNKNOWN), '', 'knows none of the 2 packages, so nothing was checked')])
def test_an_index_that_cannot_be_asked_is_a_failure_of_one_line(
        audit: ModuleType, printed: str, said: str, line: str) -> None:
    code, lines = audit.verdict(printed, said)
    assert code == 1 and len(lines) == 1 and line in lines[0] and lines[0].isprintable()


def test_what_is_passed_over_is_explained_and_make_lint_asks(audit: ModuleType) -> None:
    explained = (ROOT / 'SECURITY.md').read_text()
    assert [name for name in audit.IGNORED if name not in explained] == []
    assert 'scripts/audit.py' in (ROOT / 'Makefile').read_text()
    assert 'pip-audit==' in (ROOT / 'constraints.txt').read_text()
