"""A table for a paper: LaTeX with booktabs, and names escaped."""

import itertools
import re
from pathlib import Path

from cface_basicsr.files.atomic import write_text
from cface_basicsr.measuring.table import Column, Table

_SIGNS = {'\\': r'\textbackslash{}', '&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#', '_': r'\_', '{': r'\{', '}': r'\}',
          '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '<': r'\textless{}', '>': r'\textgreater{}',
          '±': r'$\pm$', '×': r'$\times$', '∞': r'$\infty$', '–': '--', '†': r'\dag{}', '‡': r'\ddag{}',
          '§': r'\S{}', '¶': r'\P{}'}
_WIDEST = 4
_ANY_SIGN = re.compile('|'.join(map(re.escape, _SIGNS)))


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints unchanged.

    >>> latex_text('N_SR & 5 %')
    'N\\_SR \\& 5 \\%'
    """
    return _ANY_SIGN.sub(lambda found: _SIGNS[found[0]], text)


def latex_table(table: Table, label: str = '') -> str:
    r"""A table environment; needs `\usepackage{booktabs,graphicx}`, and xcolor where a column is grey.

    The best of each column is bold, notes are below, and a table of many columns is shrunk to the line.
    """
    head = [_group_line(table.columns)] if any(column.group for column in table.columns) else []
    head.append(' & '.join(['system', *(latex_text(column.title) for column in table.columns)]) + r' \\')
    body = [' & '.join(cells) + r' \\'
            for cells in table.cells(r'\textbf{{{}}}', latex_text, r'\textcolor{{gray}}{{({})}}')]
    wide = len(table.columns) > _WIDEST
    caption = rf'\caption{{{latex_text(table.title)}}}'
    packages = 'booktabs,graphicx' + ',xcolor' * any(column.grey for column in table.columns)
    lines = [f'% needs \\usepackage{{{packages}}}', r'\begin{table}', r'\centering', caption]
    lines += [rf'\label{{{label}}}'] if label else []
    lines += [r'\resizebox{\linewidth}{!}{%'] * wide
    lines += [r'\begin{tabular}{l' + 'r' * len(table.columns) + '}', r'\toprule', *head, r'\midrule', *body,
              r'\bottomrule', r'\end{tabular}' + '}' * wide]
    lines += [rf'\par\smallskip{{\footnotesize {latex_text(note)}\par}}' for note in table.notes]
    return '\n'.join([*lines, r'\end{table}']) + '\n'


def save_latex(table: Table, path: Path) -> Path:
    """Write the table to a file, which appears only when it is complete; its label is the file's name."""
    write_text(path, latex_table(table, f'tab:{path.stem}'))
    return path


def _group_line(columns: list[Column]) -> str:
    """The line of groups above the titles, and a rule under each."""
    cells, rules, place = [], [], 2
    for group, members in itertools.groupby(columns, key=lambda column: column.group):
        width = len(list(members))
        cells.append(rf'\multicolumn{{{width}}}{{c}}{{{latex_text(group)}}}')
        rules.append(rf'\cmidrule(lr){{{place}-{place + width - 1}}}' if group else '')
        place += width
    return ' & '.join(['', *cells]) + r' \\' + '\n' + ''.join(rules)
