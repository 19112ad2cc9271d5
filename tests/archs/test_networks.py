"""docs/networks.md names what is compared; that its numbers are the networks' own is held by tests/test_docs.py."""

import re
from pathlib import Path

from cface_basicsr.benchmark.systems import SYSTEMS
from cface_basicsr.options import read_option_file
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.report.published import published

PAGE = (Path(__file__).parents[2] / 'docs' / 'networks.md').read_text(encoding='utf-8').partition('## Recognizers')[0]


def parameters() -> dict[str, list[int]]:
    """Name -> its numbers of parameters at x2, x4, x8, as the page gives them."""
    rows = re.findall(r'^\| `(\w+)` \|[^|]+\|(.+)\|$', PAGE, re.M)
    return {name: [int(cell.replace(',', '')) for cell in cells.split('|')[:3]] for name, cells in rows}


def test_every_network_of_a_system_of_the_papers_tables_is_in_the_table_and_has_a_section() -> None:
    compared = [system for name, system in SYSTEMS.items() if published(1).of(name)]
    files = {find_option_file(phase.options) for system in compared for phase in system.phases if phase.learner == 'g'
             and phase.options}
    networks = {read_option_file(path)['network_g']['type'] for path in files}
    assert len(networks) >= 9
    assert networks <= set(parameters()) <= set(re.findall(r'^## (\w+)', PAGE, re.M))
