"""Prints the two tables of docs/networks.md, counted on the networks themselves: `python docs/make_networks.py`.

A test compares the page with what is printed here. Nothing is computed: on the meta device tensors have shapes only.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cface_basicsr.benchmark.costs import count_macs, count_parameters
from cface_basicsr.compat.before_import import prepare_import
from cface_basicsr.registration import find_arch

PAGE = Path(__file__).with_name('networks.md')
SCALES = (2, 4, 8)
PAPERS = {
    'BicubicUpsampler': 'Keys 1981', 'VDSR': 'Kim et al., CVPR 2016', 'WaveletSRNet': 'Huang et al., ICCV 2017',
    'EDSR': 'Lim et al., CVPRW 2017', 'SRResNet': 'Ledig et al., CVPR 2017', 'DBPN': 'Haris et al., CVPR 2018',
    'RDN': 'Zhang et al., CVPR 2018', 'SICNN': 'Zhang et al., ECCV 2018', 'FaceRRDBNet': 'Wang et al., ECCVW 2018',
    'SRFBN': 'Li et al., CVPR 2019'}
EDSR = {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 256, 'num_block': 32, 'res_scale': 0.1}
"""BasicSR's defaults are those of the small network; these are the paper's."""

RECOGNIZERS = (
    ('SphereFace20', {'input_size': [128, 128]}, 'Liu et al., CVPR 2017', 'centre crops, RGB: trained here'),
    ('SphereFace20', {'input_size': [112, 96]}, 'the same', 'aligned, BGR: the published weights'),
    ('ArcFaceIRSE50', {}, 'Deng et al., CVPR 2019', 'aligned, BGR'),
    ('DlibResNet', {}, 'King, dlib 19.3', "dlib's chip, RGB"))


def networks() -> str:
    """One line per super-resolution network: parameters and GMAC of one 128x128 face, at each scale."""
    head = '| network | paper | parameters ×2 | ×4 | ×8 | GMAC ×2 | ×4 | ×8 |\n|---|---|--:|--:|--:|--:|--:|--:|\n'
    return head + ''.join(_network(name, paper) for name, paper in PAPERS.items())


def _network(name: str, paper: str) -> str:
    counts = [_count(name, {**EDSR, 'upscale': scale} if name == 'EDSR' else {'scale': scale}, 128 // scale)
              for scale in SCALES]
    cells = [f'{parameters:,}' for parameters, _ in counts] + [f'{macs / 1e9:.1f}' for _, macs in counts]
    return f'| `{name}` | {paper} | {" | ".join(cells)} |\n'


def recognizers() -> str:
    """One line per recognizer: parameters and GMAC of one face of the size that it takes."""
    head = '| network | paper | parameters | GMAC | faces |\n|---|---|--:|--:|---|\n'
    rest = '| `OnnxRecognizer` | any | those of the file | | what the owner of the file says |\n'
    return head + ''.join(_recognizer(*each) for each in RECOGNIZERS) + rest


def _recognizer(name: str, settings: dict[str, Any], paper: str, faces: str) -> str:
    input_spec = _build(name, settings).input_spec
    parameters, macs = _count(name, settings, input_spec.height, input_spec.width)
    size = f', `input_size: {settings["input_size"]}`' if (input_spec.height, input_spec.width) == (112, 96) else ''
    fed = f'{input_spec.height}×{input_spec.width} {faces}'
    return f'| `{name}`{size} | {paper} | {parameters:,} | {macs / 1e9:.2f} | {fed} |\n'


def _build(name: str, settings: dict[str, Any]) -> nn.Module:
    prepare_import()  # EDSR is BasicSR's
    with torch.device('meta'):
        return find_arch(name)(**settings).eval()


def _count(name: str, settings: dict[str, Any], height: int, width: int | None = None) -> tuple[int, int]:
    network = _build(name, settings)
    return count_parameters(network), count_macs(network, torch.empty(1, 3, height, width or height, device='meta'))


def page() -> str:
    """The text of docs/networks.md with its tables counted again."""
    tables, text = iter([networks(), recognizers()]), PAGE.read_text(encoding='utf-8')
    return re.sub(r'^\| network \|(?:.*\n\|)+.*\n', lambda _: next(tables), text, flags=re.M)


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
