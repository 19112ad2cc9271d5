"""What is known against the packages that are installed here: `python scripts/audit.py`, a part of `make lint`.

pip-audit asks the Python Package Index about each of them, so it needs the network.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cface_basicsr.errors import visible

INSTALL = [sys.executable, '-m', 'pip', 'install', '-q', '--retries', '1', '-c',
           str(Path(__file__).parents[1] / 'constraints.txt'), 'pip-audit']
IGNORED: dict[str, str] = {}
"""Id of a finding -> why it does not concern this project; SECURITY.md says the same at more length."""


def verdict(report: str, said: str) -> tuple[int, list[str]]:
    """Exit code and lines for what pip-audit printed as its report, and on stderr."""
    try:
        packages = list(json.loads(report)['dependencies'])
    except (ValueError, KeyError, TypeError):
        return 1, [f'audit: pip-audit has made no report, so nothing was checked: {_last_line(said)}']
    asked = [package for package in packages if 'skip_reason' not in package]
    if not asked:
        return 1, [f'audit: the index knows none of the {len(packages)} packages, so nothing was checked: is it a '
                   'mirror?']
    found = [_line(package, fault) for package in asked for fault in package['vulns']
             if not IGNORED.keys() & {fault['id'], *fault['aliases']}]
    unknown = sorted(package['name'] for package in packages if 'skip_reason' in package)
    aside = f", {len(unknown)} are not on the index: {', '.join(unknown)}" if unknown else ''
    return int(bool(found)), found or [f'audit: no known vulnerability; packages checked: {len(asked)}{aside}.']


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ['it printed nothing']
    return visible(lines[-1][:200])


def _line(package: dict[str, Any], fault: dict[str, Any]) -> str:
    fixed = ' or '.join(fault['fix_versions']) or 'no release yet'
    about = ' '.join(fault['description'].split())[:120]
    return visible(f"audit: {package['name']} {package['version']}: {fault['id']}, fixed in {fixed}: {about}")


def main(words: list[str]) -> int:
    """Run pip-audit with further words of its own, and print the verdict. It is installed first if it is not there."""
    if not find_spec('pip_audit'):
        done = subprocess.run(INSTALL, capture_output=True, text=True)
        if done.returncode:
            print(f'audit: pip-audit cannot be installed, so nothing was checked: {_last_line(done.stderr)}')
            return 1
    done = subprocess.run([sys.executable, '-m', 'pip_audit', '--format', 'json', '--progress-spinner', 'off',
                           '--skip-editable', *(words or ['--local'])], capture_output=True, text=True)
    code, lines = verdict(done.stdout, done.stderr)
    print('\n'.join(lines))
    return code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
