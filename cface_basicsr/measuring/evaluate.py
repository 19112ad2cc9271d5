"""What `cface evaluate` does: it measures every system by one protocol, and makes a record."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cface_basicsr.data.images.align import find_detector
from cface_basicsr.data.images.degradations import DEGRADATIONS, DegradedFaces, measured_strengths
from cface_basicsr.data.layouts.settings import SMALL_LAYOUTS
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.evaluation.face_systems import Embedded
from cface_basicsr.evaluation.features_file import keys_of_features, read_features
from cface_basicsr.evaluation.perceptual import KINDS, PerceptualDistance, perceptual_distances
from cface_basicsr.evaluation.roc import RocCurve, roc_curve
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import IDENTITIES_HEADER, PREPARE_COMMAND, identities_file, read_identities
from cface_basicsr.files.manifest import file_hash, manifest_hash, manifest_settings
from cface_basicsr.files.recognizer_file import named_recognizer, recognizer_hash, recognizer_marks
from cface_basicsr.files.text_file import has_header
from cface_basicsr.measuring.default_judge import check_judge, default_judge
from cface_basicsr.measuring.feature_cache import FeatureCache
from cface_basicsr.measuring.finished_images import FinishedImages
from cface_basicsr.measuring.landmarks import AlignedFaceSet, align_by_landmarks, embed_with_aligned
from cface_basicsr.measuring.measure import FaceSet, FaceSource, judge
from cface_basicsr.measuring.protocol import Outcome, Protocol
from cface_basicsr.measuring.protocols import PROTOCOLS, check_request
from cface_basicsr.measuring.request import SIDES, SIDES_OF_SMALL, Request, Sides
from cface_basicsr.measuring.results import DataSet, Measured, Results, Run, facts_of_this_run, file_facts
from cface_basicsr.measuring.table import LOOKS_ALIKE, RESTORED
from cface_basicsr.recognizers.load import load_recognizer, recognizer_content, recognizer_facts
from cface_basicsr.runtime import Progress, describe_device
from cface_basicsr.zoo.open import open_network, recorded_leaders

PRECOMPUTED = 'features'
"""The name of the recognizer where features come from files."""

Curves = dict[str, dict[str, RocCurve]]
"""Recognizer -> system -> ROC curve."""

_SMALL = (' The images are natively low-resolution, without HR. LR: each image, by bicubic to the size of the '
          "prepared folder and from there to the recognizer's. Bicubic: the input of the networks, enlarged likewise.")

_Judged = Mapping[str, tuple[Measured, Mapping[str, Outcome]]]


def evaluate_request(request: Request, show: Progress) -> tuple[Results, Curves]:
    """Measure what is asked for; there are curves only where they are asked for.

    Raises:
        UserError: the request contradicts itself, or its files do not fit; nothing is measured then.
    """
    protocol = check_request(request)
    request = replace(request, sides=request.sides or protocol.sides)
    return _evaluate_features(request, show) if request.features else _evaluate_images(request, show)


# --------------------------------------------------------------------------------------------------------- from images

def _evaluate_images(request: Request, show: Progress) -> tuple[Results, Curves]:
    check_file(request.data / 'identities.csv', f'Expected a folder made by {PREPARE_COMMAND}.')
    networks = {name: open_network(path) for name, path in request.weights.items()}
    scale = _scale(request, networks)
    faces = FaceSet.open(request.data, scale)
    added, judging = default_judge(request.recognizers, [request.data]) if request.judge else ({}, [])
    recognizers = {name: load_recognizer(file) for name, file in {**request.recognizers, **added}.items()}
    aligned, chips = None, [name for name, network in recognizers.items() if network.input_spec.template == 'dlib']
    if chips and manifest_settings(request.data).get('crop') == 'center':
        aligned, note = _aligned(request, faces, show)
        added, judging = added if aligned else {}, [note]
    request = replace(request, recognizers={**request.recognizers, **added})
    recognizers = {name: recognizers[name] for name in request.recognizers}
    finished = {name: FinishedImages(folder, faces.keys) for name, folder in request.images.items()}
    small = _are_small(request)
    led = _led(request, networks)
    check_judge(led, recognizers, request.strict)
    protocol = PROTOCOLS[request.protocol].from_request(request, faces.keys, faces.labels)
    flip = protocol.flip if request.flip is None else request.flip
    kept = _feature_cache(request, networks, recognizers)
    looks = perceptual_distances({kind: getattr(request, kind) for kind in KINDS})
    systems = _systems(request.sides, small, {**networks, **finished})
    judged = _judge_systems(request, systems, recognizers, faces, protocol, flip, kept, show, (aligned, chips), small,
                            looks)
    fed = {name: recognizer_facts(request.recognizers[name], network) for name, network in recognizers.items()}
    settings = manifest_settings(request.data)
    switches = {'sides': request.sides, 'flip': flip, 'crop': settings.get('crop'),
                'template': settings.get('template'), 'color': request.color, 'border': request.border,
                **({'degrade': list(request.degrade)} if request.degrade else {}),
                **{kind: each.sha256 for kind, each in looks.items()}}
    described = [_describe_switches(request, flip, settings, small), *_describe_degradations(request.degrade)]
    notes = [*described, *judging, *faces.notes(
        {name: network for name, network in recognizers.items() if not (aligned and name in chips)})]
    hashes = {name: recognizer_hash(file, 64) if named_recognizer(file).is_file() else fed[name].get('sha256', '')
              for name, file in request.recognizers.items()}
    return _evaluated(request, scale, faces.data_set(request.data.resolve().name, [protocol]), judged, hashes, notes,
                      led, recognizers=fed, switches=switches,
                      **{'images': {name: {'file': str(request.images[name]), 'sha256': pictures.sha256}
                                    for name, pictures in finished.items()}} if finished else {})


def _aligned(request: Request, faces: FaceSet, show: Progress) -> tuple[AlignedFaceSet | None, str]:
    """See `align_by_landmarks`."""
    show.start('landmarks', len(faces.keys))
    aligned, note = align_by_landmarks(faces, find_detector(request.detector), _cache(request), show.advance)
    show.end('landmarks', note)
    return aligned, note


def _are_small(request: Request) -> bool:
    """Whether the images are natively low-resolution, by the protocol or by the layout of their source.

    Raises:
        UserError: what is asked for needs HR.
    """
    kind = PROTOCOLS[request.protocol]
    small = kind.small or manifest_settings(request.data).get('layout') in SMALL_LAYOUTS
    if small and request.degrade:
        raise UserError('--degrade says how HR is reduced, and these images have no HR: leave it out.')
    if small and (request.lpips or request.dists):
        raise UserError('--lpips and --dists compare with HR, and these images have none: leave them out.')
    return small


def _systems(sides: Sides, small: bool, others: Mapping[str, nn.Module | FinishedImages]) -> dict[str, FaceSource]:
    """Row -> whose faces; the images as they are come first."""
    if small:
        return {'LR': 'HR'} if sides == 'lr' else {'LR': 'HR', 'Bicubic': 'Bicubic', **others}
    return {'HR': 'HR', 'LR': 'LR'} if sides == 'lr' else {'HR': 'HR', 'Bicubic': 'Bicubic', **others}


def _judge_systems(request: Request, systems: Mapping[str, FaceSource],
                   recognizers: Mapping[str, nn.Module], faces: FaceSet, protocol: Protocol, flip: bool,
                   kept: FeatureCache, show: Progress,
                   alignment: tuple[AlignedFaceSet | None, Collection[str]], small: bool,
                   looks: Mapping[str, PerceptualDistance]) -> _Judged:
    """Every system by every recognizer; with --sides one, the images as they are come first in each pair.

    Some recognizers may see aligned faces instead: the second part of `alignment` names them.
    """
    aligned, theirs = alignment
    judged, left = {}, None
    for name, system, lr in _rows(systems, request, faces):
        how: dict[str, Any] = {
            'rows': protocol.images, 'flip': flip, 'unit_length': protocol.unit_length, 'device': request.device,
            'batch_size': request.batch_size, 'at_once': request.batch_size, 'progress': show.advance,
            'start': partial(show.start, name)}
        also = {'originals': not small, 'color': request.color, 'border': request.border, 'looks': looks,
                'kept': None if isinstance(system, FinishedImages) else kept}
        embedded = embed_with_aligned(replace(faces, lr=lr), aligned and replace(aligned, lr=lr), theirs, system,
                                      recognizers, also, **how)
        left = embedded.features if system == 'HR' and request.sides == 'one' else left
        judged[name] = judge(embedded, [protocol], left)
        show.end(name, _row_text(protocol, recognizers, judged[name][0]))
    return judged


def _rows(systems: Mapping[str, FaceSource], request: Request,
          faces: FaceSet) -> Iterator[tuple[str, FaceSource, FaceStore | DegradedFaces]]:
    """Each system, and its LR faces: those of the store, then those that are degraded in other ways."""
    for name, system in systems.items():
        yield name, system, faces.lr
        for kind, strength in measured_strengths(request.degrade) if system != 'HR' else ():
            text = kind if strength is None else f'{kind} {strength:g}'
            yield f'{name}, {text}', system, DegradedFaces(faces.hr, faces.scale, kind, strength)


def _led(request: Request, networks: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """Recognizer -> the networks of which it led a loss, by their files."""
    led_by = {row: recorded_leaders(networks[row], path) for row, path in request.weights.items()}
    marks = {name: recognizer_marks(file) for name, file in request.recognizers.items()
             if named_recognizer(file).is_file()}
    led = {name: [row for row, found in led_by.items() if not own.isdisjoint(found)] for name, own in marks.items()}
    return {name: rows for name, rows in led.items() if rows}


def _cache(request: Request) -> Path:
    return request.cache or request.data / 'features'


def _feature_cache(request: Request, networks: Mapping[str, nn.Module],
                   recognizers: Mapping[str, nn.Module]) -> FeatureCache:
    return FeatureCache(
        _cache(request),
        {name: recognizer_content(request.recognizers[name], network) for name, network in recognizers.items()},
        {network: file_hash(request.weights[name], 64) for name, network in networks.items()}, request.device)


def _row_text(protocol: Protocol, recognizers: Iterable[str], measured: Measured) -> str:
    """A system's numbers in one line, as the table will show them."""
    columns = [column for name in recognizers for column in protocol.columns(name, protocol.compared)]
    columns += [column for column in (*RESTORED, *LOOKS_ALIKE) if measured.numbers.get(column.key) is not None]
    return ', '.join(f'{column.heading} {column.text(measured.numbers)}' for column in columns)


def _scale(request: Request, networks: Mapping[str, nn.Module]) -> int:
    """The one scale of all networks, of --scale, or of the folder."""
    found = {name: scale_of(network, f"weights file '{request.weights[name]}'") for name, network in networks.items()}
    scales = set(found.values()) | ({request.scale} if request.scale else set())
    if not scales:
        scales = {int(path.name[4:-5]) for path in request.data.glob('lr_x*.lmdb') if path.name[4:-5].isdigit()}
    if len(scales) != 1:
        text = ', '.join(f'{name}: x{scale}' for name, scale in found.items()) or f'folder: {sorted(scales) or "none"}'
        raise UserError(f'a table has one scale; {text}' + (f'; --scale {request.scale}' if request.scale else '')
                        + '. Give --scale, or networks of one scale.')
    return scales.pop()


def _describe_switches(request: Request, flip: bool, settings: Mapping[str, Any], small: bool) -> str:
    crop = settings.get('crop', 'not known, the folder has no manifest')
    template = f" ({settings['template']})" if settings.get('template') else ''
    color = 'luma (Y)' if request.color == 'y' else 'RGB'
    border = f'{request.border} pixels cut off each side' if request.border else 'no border cut'
    restoration = '' if request.sides == 'lr' or small else f'; PSNR and SSIM of {color}, {border}'
    mirrored = 'joined with those of the mirror image' if flip else 'of the image only'
    sides, rows = (SIDES_OF_SMALL, _SMALL) if small else (SIDES, '')
    return f'Switches: {sides[request.sides]}; features {mirrored}; crop {crop}{template}{restoration}.{rows}'


def _describe_degradations(names: Iterable[str]) -> list[str]:
    """A line for each kind."""
    return [f'{name}: {DEGRADATIONS[name].help}.' if name in DEGRADATIONS else
            f'{name}: drawn for each face, as in a training with degradation: camera.' for name in names]


# ------------------------------------------------------------------------------------------------------- from features

def _evaluate_features(request: Request, show: Progress) -> tuple[Results, Curves]:
    keys, labels = _keys_and_labels(request)
    protocol = PROTOCOLS[request.protocol].from_request(request, keys, labels)
    judged, what = {}, []
    for name, path in request.features.items():
        show.start(name, 1)
        features = read_features(path, keys)
        judged[name] = judge(Embedded({PRECOMPUTED: features}, None, None, {}), [protocol])
        what.append(f"{name}: '{path}', {features.shape[1]} numbers for each image")
        show.end(name, _row_text(protocol, [PRECOMPUTED], judged[name][0]))
    notes = [f'Features as their files hold them: {"; ".join(what)}.',
             'Switches: none; crop, sides and mirror images are those that the features were made with.']
    prepared = request.data.is_dir() and identities_file(request.data).is_file()
    sha256 = manifest_hash(request.data) if prepared else file_facts(request.data)['sha256'] or ''
    people = 0 if labels is None else len(set(labels.tolist()))
    data = DataSet(request.data.resolve().name, 'test', sha256, people, len(keys), [protocol.compared])
    return _evaluated(request, None, data, judged, {PRECOMPUTED: ''}, notes, switches={'precomputed': True})


def _keys_and_labels(request: Request) -> tuple[list[str], Ints | None]:
    """Keys of the N images and labels (N,), from identities.csv; without it the keys of the features, and no labels."""
    path = identities_file(request.data)
    if request.data.is_dir() and path.is_file() or _is_identities(request.data):
        return read_identities(path)
    if not request.data.exists():
        raise UserError(f"'{request.data}' is missing: expected identities.csv, its folder, pairs, or BLUFR's lists.")
    return keys_of_features(next(iter(request.features.values()))), None


def _is_identities(path: Path) -> bool:
    if path.suffix != '.csv' or not path.is_file():
        return False
    with open(path, encoding='utf-8-sig', errors='replace') as file:
        return has_header(file.readline().strip(), IDENTITIES_HEADER[:2])


# ---------------------------------------------------------------------------------------------------------- the record

def _evaluated(request: Request, scale: int | None, data: DataSet, judged: _Judged, hashes: Mapping[str, str],
               notes: list[str], led: Mapping[str, list[str]] | None = None,
               **options: Any) -> tuple[Results, Curves]:
    files = {kind: {name: file_facts(path) for name, path in given.items()}
             for kind, given in (('weights', request.weights), ('features', request.features))}
    known = {name: facts['sha256'] for given in (*files.values(), options.get('images', {}))
             for name, facts in given.items()}
    runs = [Run(name, scale, measured={data.name: measured}, weights_sha256=known.get(name, next(
        (sha256 for system, sha256 in known.items() if name.startswith(f'{system}, ')), '')))  # of a degraded row
            for name, (measured, _) in judged.items()]
    facts = facts_of_this_run([data], hashes, describe_device(torch.device(request.device)), notes=notes,
                              led=dict(led or {}),
                              options={'data': str(request.data), **files, **options})
    title = f'{request.protocol}: {data.name}' + (f', x{scale}' if scale else '')
    results = Results('evaluate', title, facts, list(judged), [scale] if scale else [], runs)
    curves = {who: {name: roc_curve(scored[who].scores, scored[who].same) for name, (_, scored) in judged.items()}
              for who in hashes if request.curves}
    return results, curves
