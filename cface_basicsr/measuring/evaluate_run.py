"""`cface evaluate` behind its options: every system through one protocol, and one table of it."""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import Seen, look_at
from cface_basicsr.evaluation.features_file import read_features
from cface_basicsr.evaluation.roc import RocCurve
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.files.identities import identities_file, read_identities
from cface_basicsr.files.network_file import build_network_from_file, file_hash
from cface_basicsr.measuring.evaluated_faces import EvaluatedFaces, keys_of_features, read_faces
from cface_basicsr.measuring.make_protocol import file_facts, make_protocol
from cface_basicsr.measuring.protocol import Outcome, Protocol
from cface_basicsr.measuring.request import SIDES, Request, check
from cface_basicsr.measuring.table import Column, Number, Row, Table
from cface_basicsr.recognizers.load import crop_note, load_recognizer, recognizer_facts
from cface_basicsr.runtime import Progress
from cface_basicsr.version import __version__

PRECOMPUTED = 'features'
"""What the recognizer is called where features come from files."""


@dataclass(frozen=True)
class Evaluated:
    """The table, and by each recognizer the ROC curve of each system where the protocol has one."""

    table: Table
    curves: dict[str, dict[str, RocCurve]]


@dataclass(frozen=True)
class _Measured:
    """A system: its mean PSNR and SSIM, and what each recognizer says."""

    restoration: dict[str, float | None]
    outcomes: dict[str, Outcome]

    def row(self, name: str) -> Row:
        numbers: dict[str, Number] = {}
        per_fold: dict[str, list[float]] = {}
        for outcome in self.outcomes.values():
            numbers |= outcome.numbers
            per_fold |= outcome.per_fold
        return Row(name, numbers | self.restoration, reference=name == 'HR', per_fold=per_fold)


def evaluate(request: Request, show: Progress) -> Evaluated:
    """Measure what is asked for.

    Raises:
        UserError: the request contradicts itself, or its files do not fit; nothing is measured then.
    """
    check(request)
    return _evaluate_features(request, show) if request.features else _evaluate_images(request, show)


# --------------------------------------------------------------------------------------------------------- from images

def _evaluate_images(request: Request, show: Progress) -> Evaluated:
    networks = {name: build_network_from_file(path) for name, path in request.weights.items()}
    scale = _scale(request, networks)
    recognizers = {name: load_recognizer(file) for name, file in request.recognizers.items()}
    faces = read_faces(request.data, scale)
    protocol = make_protocol(request, faces.keys, faces.labels)
    measured = _measure_systems(request, networks, recognizers, faces, protocol, show)
    facts = _facts(request, protocol, faces.keys) | {
        'scale': scale, 'images': len(faces.keys), 'identities': len(set(faces.labels.tolist())),
        'manifest_sha256': _hash(request.data / 'manifest.json'),
        'recognizers': {name: recognizer_facts(request.recognizers[name], network)
                        for name, network in recognizers.items()},
        'switches': {'sides': request.sides, 'flip': request.flips, 'crop': faces.settings().get('crop'),
                     'template': faces.settings().get('template'), 'color': request.color, 'border': request.border}}
    notes = [f'{len(faces.keys):,} images of {facts["identities"]:,} identities, x{scale}; {protocol.note}',
             _switches(request, faces)]
    notes += filter(None, (crop_note(request.data, name, network) for name, network in recognizers.items()))
    title = f'{request.protocol}: {request.data.resolve().name}, x{scale}'
    restoration = [] if request.sides == 'lr' else [Column('psnr', 'PSNR dB', 2), Column('ssim', 'SSIM', 4)]
    return _evaluated(title, protocol, measured, list(recognizers), restoration, notes, facts)


def _measure_systems(request: Request, networks: Mapping[str, nn.Module], recognizers: Mapping[str, nn.Module],
                     faces: EvaluatedFaces, protocol: Protocol, show: Progress) -> dict[str, _Measured]:
    """Every system by every recognizer; the features of HR are kept where they stand on one side of each pair."""
    systems: dict[str, str | nn.Module] = {'HR': 'HR', 'LR': 'LR'} if request.sides == 'lr' else {
        'HR': 'HR', 'Bicubic': 'Bicubic', **networks}
    measured = {}
    originals: Seen | None = None
    for name, system in systems.items():
        show.start(name, len(faces.keys))
        chunks = faces.chunks(system, batch_size=request.batch_size, device=request.device, progress=show.advance)
        seen = look_at(chunks, recognizers, flip=request.flips, unit_length=protocol.unit_length, color=request.color,
                       border=request.border, device=request.device)
        originals = seen if name == 'HR' and request.sides == 'one' else originals
        outcomes = {who: protocol.measure(who, seen.features[who]) if originals is None else
                    protocol.measure(who, originals.features[who], seen.features[who]) for who in recognizers}
        measured[name] = _Measured(seen.restoration(), outcomes)
        show.end(name, f'{len(faces.keys)} images')
    return measured


def _scale(request: Request, networks: Mapping[str, nn.Module]) -> int:
    """The one scale of all networks, of --scale, or of the folder."""
    found = {name: scale_of(network, f"weights file '{request.weights[name]}'") for name, network in networks.items()}
    scales = set(found.values()) | ({request.scale} if request.scale else set())
    if not scales:
        scales = {int(path.name[4:-5]) for path in request.data.glob('lr_x*.lmdb') if path.name[4:-5].isdigit()}
    if len(scales) != 1:
        text = ', '.join(f'{name}: x{scale}' for name, scale in found.items()) or f'folder: {sorted(scales) or "none"}'
        raise UserError(f'one table holds one scale; {text}' + (f'; --scale {request.scale}' if request.scale else '')
                        + '. Give --scale, or networks of one scale.')
    return scales.pop()


def _switches(request: Request, faces: EvaluatedFaces) -> str:
    settings = faces.settings()
    crop = settings.get('crop', 'not known, the folder has no manifest')
    template = f" ({settings['template']})" if settings.get('template') else ''
    color = 'luma (Y)' if request.color == 'y' else 'RGB'
    restoration = '' if request.sides == 'lr' else (
        f'; PSNR and SSIM of {color}, ' + (f'{request.border} pixels cut off each side' if request.border else
                                           'no border cut'))
    mirrored = 'joined with those of the mirror image' if request.flips else 'of the image alone'
    return f'Switches: {SIDES[request.sides]}; features {mirrored}; crop {crop}{template}{restoration}.'


# ------------------------------------------------------------------------------------------------------- from features

def _evaluate_features(request: Request, show: Progress) -> Evaluated:
    keys, labels = _keys_and_labels(request)
    protocol = make_protocol(request, keys, labels)
    measured = {}
    for name, path in request.features.items():
        show.start(name, 1)
        measured[name] = _Measured({}, {PRECOMPUTED: protocol.measure(PRECOMPUTED, read_features(path, keys))})
        show.end(name, f'{len(keys)} features')
    facts = _facts(request, protocol, keys) | {'images': len(keys), 'switches': {'precomputed': True}}
    notes = [f'{len(keys):,} precomputed features; {protocol.note}',
             'Switches: none; crop, sides and mirror images are what the features were made of.']
    title = f'{request.protocol}: {request.data.resolve().name}'
    return _evaluated(title, protocol, measured, [PRECOMPUTED], [], notes, facts)


def _keys_and_labels(request: Request) -> tuple[list[str], Ints | None]:
    """From a prepared folder or its identities.csv; otherwise the keys are those of the features."""
    path = identities_file(request.data)
    if request.data.is_dir() and path.is_file() or _is_identities(request.data):
        return read_identities(path)
    if not request.data.exists():
        raise UserError(f"'{request.data}' is missing: expected a prepared folder, its identities.csv, a pairs file, "
                        "or BLUFR's lists.")
    return keys_of_features(next(iter(request.features.values()))), None


def _is_identities(path: Path) -> bool:
    if path.suffix != '.csv' or not path.is_file():
        return False
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.readline().startswith('key,label')


# ----------------------------------------------------------------------------------------------------------- the table

def _evaluated(title: str, protocol: Protocol, measured: Mapping[str, _Measured], recognizers: list[str],
               restoration: list[Column], notes: list[str], facts: dict[str, Any]) -> Evaluated:
    rows = [system.row(name) for name, system in measured.items()]
    columns = [column for name in recognizers for column in protocol.columns(name)] + restoration
    first = next(iter(measured.values())).outcomes
    below = filter(None, (protocol.rates(name, rows, first[name]) for name in recognizers))
    facts['behind'] = first[recognizers[0]].counts
    curves = {who: {name: system.outcomes[who].curve for name, system in measured.items()
                    if system.outcomes[who].curve is not None} for who in recognizers}
    return Evaluated(Table(title, columns, rows, notes, facts, list(below)),
                     {who: systems for who, systems in curves.items() if systems})


def _facts(request: Request, protocol: Protocol, keys: list[str]) -> dict[str, Any]:
    """What makes the numbers traceable."""
    return protocol.facts | {
        'command': ' '.join(['cface', *sys.argv[1:]]), 'data': str(request.data),
        'identities_sha256': _hash(identities_file(request.data)) if request.data.is_dir() else _hash(request.data),
        'weights': {name: file_facts(path) for name, path in request.weights.items()},
        'features': {name: file_facts(path) for name, path in request.features.items()},
        'device': request.device, 'cface_basicsr': __version__, 'torch': version('torch'), 'numpy': version('numpy'),
        'python': platform.python_version()}


def _hash(path: Path) -> str | None:
    return file_hash(path, 64) if path.is_file() else None
