"""LaTeX tables hold what the other forms hold, are balanced, and compile where LaTeX is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cface_basicsr.measuring.table import Column, Row, Table
from cface_basicsr.report.latex import latex_table, latex_text, save_latex

COLUMNS = [Column('a', 'PSNR (dB)', 2, spread='s', group='Scale=4'), Column('b', 'SSIM', 4, group='Scale=4'),
           Column('c', '100 %', 1, best=None)]
TABLE = Table('A & B_C', COLUMNS, [Row('N_SR #1', {'a': 20.126, 's': 0.5, 'b': 0.9}, sign='†'),
                                   Row('x^2 {y} ~z \\w $', {'a': 19.0, 'b': 0.95, 'c': 3.0}, instead={'c': 'failed'}),
                                   Row('failing', {}, instead={'a': 'failed'})],
              ['† not converged: 50 % of them', 'a < b > c'])


def test_cells_are_those_of_the_markdown_table() -> None:
    rows = [line for line in latex_table(TABLE).splitlines() if line.startswith(('N', 'x', 'failing'))]
    assert rows == [r'N\_SR \#1 \dag{} & \textbf{20.13 $\pm$ 0.50} & 0.9000 & -- \\',
                    r'x\textasciicircum{}2 \{y\} \textasciitilde{}z \textbackslash{}w \$ & 19.00 & \textbf{0.9500} '
                    r'& 3.0 \\', r'failing & failed & -- & -- \\']


def test_groups_span_their_columns() -> None:
    lines = latex_table(TABLE).splitlines()
    top = lines.index(r'\toprule')
    assert lines[top + 1] == r' & \multicolumn{2}{c}{Scale=4} & \multicolumn{1}{c}{} \\'
    assert lines[top + 2] == r'\cmidrule(lr){2-3}'
    assert lines[top + 3] == r'system & PSNR (dB) & SSIM & 100 \% \\'


def test_every_line_has_as_many_cells_as_the_table_has_columns() -> None:
    text = latex_table(TABLE, 'tab:x')
    assert r'\begin{tabular}{lrrr}' in text and r'\label{tab:x}' in text
    for line in text.split(r'\midrule')[1].split(r'\bottomrule')[0].strip().splitlines():
        assert len(re.findall(r'(?<!\\)&', line)) == 3, line
    bare = re.sub(r'\\[{}]', '', text)
    assert bare.count('{') == bare.count('}')
    assert len(re.findall(r'\\begin\{', text)) == len(re.findall(r'\\end\{', text)) == 2


def test_text_with_every_sign_of_latex_loses_none() -> None:
    assert latex_text('a\\b&c%d$e#f_g{h}i~j^k') == (r'a\textbackslash{}b\&c\%d\$e\#f\_g\{h\}i\textasciitilde{}j'
                                                    r'\textasciicircum{}k')


@pytest.mark.skipif(shutil.which('pdflatex') is None, reason='pdflatex is not installed')
@pytest.mark.parametrize('columns', [COLUMNS, [*COLUMNS, *COLUMNS]], ids=['narrow', 'wide'])
def test_the_table_compiles(columns: list[Column], tmp_path: Path) -> None:
    save_latex(Table(TABLE.title, columns, TABLE.rows, TABLE.notes), tmp_path / 'it.tex')
    (tmp_path / 'main.tex').write_text('\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}'
                                       '\\input{it}\\end{document}')
    done = subprocess.run(['pdflatex', '-interaction=nonstopmode', '-halt-on-error', 'main.tex'], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:]
    assert 'Overfull' not in done.stdout
