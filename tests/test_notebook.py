"""The notebook runs from its first cell to its last, and says what it shows."""

import json
from typing import Any

from tests.test_docs import ROOT


def test_every_cell_of_the_notebook_runs_and_the_numbers_are_those_it_speaks_of() -> None:
    notebook = json.loads((ROOT / 'docs/first_steps.ipynb').read_text(encoding='utf-8'))
    cells = [''.join(cell['source']) for cell in notebook['cells'] if cell['cell_type'] == 'code']
    assert not [cell for cell in notebook['cells'] if cell.get('outputs')]  # none is kept, so none grows old
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile(cell, 'first_steps.ipynb', 'exec'), names)
    assert names['originals'].shape == names['enlarged'].shape == (8, 128, 128, 3)
    assert 10 < names['psnr'].mean() < 60 and 0 < names['ssim'].mean() < 1
    assert ((names['distance'] > 0) & (names['distance'] < 4)).all()
    loss = eval(cells[-1].splitlines()[-1], names)
    self_term = 0.05 * names['distance'].mean()
    assert self_term <= loss <= self_term + 0.1 * 4
