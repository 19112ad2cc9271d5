"""docs/networks.md is true: every count in its table is computed again, on the meta device, which only counts."""

import re
from pathlib import Path

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

import cface_basicsr.register  # noqa: F401
from cface_basicsr.benchmark.costs import count_macs, count_parameters
from cface_basicsr.benchmark.systems import SYSTEMS
from cface_basicsr.options import read_option_file
from cface_basicsr.report.published import published
from cface_basicsr.training.option_files import find_recipe

PAGE, _, RECOGNIZERS = (Path(__file__).parents[2] / 'docs' / 'networks.md').read_text(encoding='utf-8').partition(
    '## Recognizers')
SCALES = (2, 4, 8)
EDSR = {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 256, 'num_block': 32, 'res_scale': 0.1}
"""BasicSR's defaults are those of the small network; these are the paper's."""


def table() -> dict[str, tuple[list[int], list[float]]]:
    """Name to its parameters and its GMAC, each at x2, x4, x8."""
    rows = re.findall(r'^\| `(\w+)` \|[^|]+\|(.+)\|$', PAGE, re.M)
    cells = {name: [cell.strip().replace(',', '') for cell in rest.split('|')] for name, rest in rows}
    return {name: ([int(each) for each in row[:3]], [float(each) for each in row[3:]]) for name, row in cells.items()}


def build(name: str, scale: int) -> nn.Module:
    settings = {**EDSR, 'upscale': scale} if name == 'EDSR' else {'scale': scale}
    return ARCH_REGISTRY.get(name)(**settings).eval()


@pytest.mark.parametrize('scale', SCALES)
@pytest.mark.parametrize('name', table())
def test_the_table_of_the_networks_holds(name, scale):
    parameters, macs = (column[SCALES.index(scale)] for column in table()[name])
    with torch.device('meta'):
        network = build(name, scale)
        low = torch.empty(1, 3, 128 // scale, 128 // scale)
        assert count_parameters(network) == parameters
        assert round(count_macs(network, low) / 1e9, 1) == macs


def test_every_network_of_a_system_of_the_papers_tables_is_in_the_table_and_has_a_section():
    compared = [system for name, system in SYSTEMS.items() if published(1).of(name)]
    files = {find_recipe(phase.options) for system in compared for phase in system.phases if phase.learner == 'g'
             and phase.options}
    networks = {read_option_file(path)['network_g']['type'] for path in files}
    assert len(networks) >= 9
    assert networks <= set(table()) <= set(re.findall(r'^## (\w+)', PAGE, re.M))


@pytest.mark.parametrize(('row', 'name', 'settings'), [
    ('`SphereFace20` |', 'SphereFace20', {'input_size': [128, 128]}),
    ('`SphereFace20`, `input_size: [112, 96]` |', 'SphereFace20', {'input_size': [112, 96]}),
    ('`ArcFaceIRSE50` |', 'ArcFaceIRSE50', {})])
def test_the_table_of_the_recognizers_holds(row, name, settings):
    parameters, macs, faces = re.search(rf'^\| {re.escape(row)}[^|]+\|([^|]+)\|([^|]+)\|([^|]+)\|$', RECOGNIZERS,
                                        re.M).groups()
    with torch.device('meta'):
        network = ARCH_REGISTRY.get(name)(**settings).eval()
        face = torch.empty(1, 3, network.eats.height, network.eats.width)
        assert count_parameters(network) == int(parameters.replace(',', ''))
        assert f'{count_macs(network, face) / 1e9:.2f}' == macs.strip()
    assert f'{network.eats.height}×{network.eats.width}' in faces
