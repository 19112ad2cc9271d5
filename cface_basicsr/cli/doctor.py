"""`cface doctor`: what is installed here, which defects BasicSR has on it, and their repair."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cface_basicsr.cli.show import Terminal, say, say_json
from cface_basicsr.compat import installed
from cface_basicsr.compat.before_import import patch_functional_tensor
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import stack_versions


def command(
    repair: Annotated[bool, typer.Option('--repair')] = False,
    undo: Annotated[bool, typer.Option('--undo')] = False,
    basicsr: Path | None = None,
    as_json: Annotated[bool, typer.Option('--json')] = False,
) -> None:
    """Show what is installed and what in BasicSR needs a repair; the exit code is 1 if anything does.

    Most defects are patched in memory while a training runs. Two strike before the option file is read: for each,
    `--repair` edits one line of the installed BasicSR, keeps a copy of the file next to it, and says what it changed.

    Args:
        repair: Edit the two files of BasicSR that need it.
        undo: Put these files back, byte for byte.
        basicsr: Another BasicSR: a checkout.
        as_json: Print the findings as JSON.

    \b
    Example:
      cface doctor
      cface doctor --repair
      cface doctor --repair --basicsr ../BasicSR
    """
    if repair and undo:
        raise UserError('--repair and --undo exclude each other.')
    package = installed.package_in(basicsr) if basicsr else installed.find_package()
    if (repair or undo) and package is None:
        raise UserError('BasicSR is not installed here: pip install --no-build-isolation basicsr')
    changes = _change(package, repair) if repair or undo else []
    findings = _findings(package, changes)
    if as_json:
        say_json(findings)
    else:
        _show(findings, table=not (repair or undo))
        if (repair or undo) and not changes:
            say('Nothing to change.')
    raise typer.Exit(1 if findings['needs_repair'] else 0)


def _change(package: Path, repair: bool) -> list[str]:
    """Repair what is defective, or put back what was repaired; returns what to say of it."""
    changes = []
    for each in installed.REPAIRS:
        status = installed.status(package, each)
        if repair and status == 'defect':
            installed.repair(package, each)
            changes.append(f'changed {package / each.file}, line {installed.line_of(package, each)}: '
                           f'{each.old.decode()}  ->  {each.new.decode()}')
        elif not repair and status == 'repaired':
            installed.restore(package, each)
            changes.append(f'put back {package / each.file}')
    return changes


def _findings(package: Path | None, changes: list[str]) -> dict[str, Any]:
    repairs = [] if package is None else [
        {'name': each.name, 'status': installed.status(package, each), 'file': str(package / each.file),
         'line': installed.line_of(package, each), 'symptom': each.symptom, 'upstream': each.upstream}
        for each in installed.REPAIRS]
    return {
        'versions': {name: version for name, version in stack_versions().items() if name != 'basicsr'},
        'basicsr': _basicsr(package), 'repairs': repairs, 'rows': _rows(package), 'changes': changes,
        'warnings': _warnings(package),
        'needs_repair': package is None or any(each['status'] == 'defect' for each in repairs)}


def _basicsr(package: Path | None) -> dict[str, str | None] | None:
    if package is None:
        return None
    kind = 'installed' if package.parent.name in ('site-packages', 'dist-packages') else 'clone'
    return {'folder': str(package), 'version': installed.version_of(package), 'kind': kind}


def _rows(package: Path | None) -> list[dict[str, str]] | str:
    """The table of run-time defects and which are patched; a sentence if BasicSR cannot be imported."""
    from cface_basicsr import compat
    if package != installed.find_package():
        return 'not checked: they belong to the BasicSR that is imported, see `cface doctor` without --basicsr'
    patch_functional_tensor()
    try:
        compat.apply()
    except ImportError as error:
        hint = '; without libGL: pip uninstall opencv-python, pip install opencv-python-headless'
        return f"not checked: import basicsr fails ({error}){hint if 'libGL' in str(error) else ''}"
    return [{'name': row.name, 'status': 'patched at run time' if row.name in compat.applied() else
             'left out' if row.present() else 'not there', 'target': row.target, 'symptom': row.symptom,
             'upstream': row.upstream} for row in compat.ROWS]


def _warnings(package: Path | None) -> list[str]:
    found = []
    if package is None:
        found.append('BasicSR is not installed: pip install --no-build-isolation basicsr')
    elif installed.version_of(package) is None:
        found.append(f'{package} has no version.py, so it cannot be imported: in its checkout run\n'
                     'pip install --no-build-isolation --no-deps -e .')
    here = Path.cwd() / 'basicsr'
    if (here / 'train.py').is_file() and package is not None and here.resolve() != package.resolve():
        found.append(f'`python basicsr/train.py` in this folder runs its train.py with the rest of BasicSR taken from\n'
                     f'{package}. To run only this folder: export PYTHONPATH=.')
    return found


def _show(findings: dict[str, Any], table: bool) -> None:
    console = Terminal(highlight=False)
    for name, version in findings['versions'].items():
        console.print(f'{name:<14}{version or "not installed"}')
    basicsr = findings['basicsr']
    if basicsr:
        console.print(f"{'basicsr':<14}{basicsr['version'] or 'no version.py'}, {basicsr['kind']}: {basicsr['folder']}",
                      soft_wrap=True)
    if table:
        _show_table(findings, console)
    for line in (*findings['changes'], *(f'Warning: {text}' for text in findings['warnings'])):
        console.print(line, soft_wrap=True, markup=False)
    if any(each['status'] == 'defect' for each in findings['repairs']):
        console.print('Repair them: cface doctor --repair   (`cface` itself does not need it)')


def _show_table(findings: dict[str, Any], console: Terminal) -> None:
    from rich.table import Table
    table = Table('defect of BasicSR', 'here', 'symptom', box=None, pad_edge=False, header_style='bold')
    for each in [*findings['repairs'], *(findings['rows'] if isinstance(findings['rows'], list) else ())]:
        needs = each['status'] == 'defect'
        table.add_row(each['name'], '[red]needs --repair[/red]' if needs else each['status'], each['symptom'])
    console.print(table)
    if isinstance(findings['rows'], str):
        console.print(f"The rows patched at run time: {findings['rows']}", soft_wrap=True)
