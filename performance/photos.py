"""A large photograph with small faces from end to end, and pasting against facexlib's way.

The rival of `cface enhance` is a process that finds the same faces and runs the network on as many, and does no more.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from performance.commands import cface, described, measure
from performance.faces_on_disk import photos, temporary_folder
from performance.limits import Limit
from performance.measure import Finding, ratio
from performance.sides import Job, Side, against

SCALE, FACE = 4, 24
"""Of the network, and the height of faces in pixels."""
_ALONE = """
import sys, cv2, numpy as np, torch
from cface_basicsr.enhancing.detector import detect_faces
from cface_basicsr.files.network_file import build_network_from_file
faces = detect_faces(np.ascontiguousarray(cv2.imread(sys.argv[1])[..., ::-1]))
with torch.inference_mode():
    build_network_from_file(sys.argv[2])(torch.zeros(len(faces), 3, 32, 32))
"""


def run(*, width: str = 'paper', size: Sequence[int] = (3000, 4000), faces: int = 20, pasted: int = 10,
        rounds: int = 2, threads: int = 1) -> list[Finding]:
    """Measure.

    Args:
        width: of the network, a key of `training_step.WIDTHS`.
        size: height and width of the photograph.
        faces: in it.
        pasted: faces that are pasted.
        rounds: how often each side is measured.
        threads: of torch and OpenCV.
    """
    with temporary_folder() as folder:
        photo, network = _write_scene(folder, size, faces), _write_network(folder, width)
        words = ['--weights', network, '--out', folder / 'out', '--overwrite']
        runs = measure({'ours': cface('enhance', photo, *words),
                        'alone': [sys.executable, '-c', _ALONE, str(photo), str(network)]}, rounds, threads)
    ours, alone = runs['ours'], runs['alone']
    limit = Limit(_operations(size, faces, width), size[0] * size[1] * 6, threads)
    megapixels = f'{size[0] * size[1] / 1e6:.3g} megapixels'
    what = f'`cface enhance` of a photograph of {megapixels} with {faces} faces of {FACE} px'
    peak = max(ours.peak)
    return [Finding('photo', f'{what}, by CPU time', f'{ours.median_cpu:.3g} s',
                    f'detection and the network: {alone.median_cpu:.3g} s', ratio(ours.cpu, alone.cpu), 'x', 1.3, True,
                    limit.words(), ours.median_cpu / limit.seconds),
            Finding('photo_memory', 'the same: peak memory', f'{peak:.2f} GB',
                    f'detection and the network: {max(alone.peak):.2f} GB', peak, 'GB', 1.5, True,
                    f'{size[0] * size[1] * 6 / 1e6:.3g} MB: the photograph and its copy',
                    peak * 1e9 / (size[0] * size[1] * 6)),
            _pasting(size, pasted, rounds, threads)]


def _pasting(size: Sequence[int], pasted: int, rounds: int, threads: int) -> Finding:
    settings = {'size': list(size), 'faces': pasted}
    race = against(*(Side(f'performance.photos:{name}', settings, threads) for name in ('paste', 'paste_by_facexlib')),
                   rounds)
    limit = Limit(moved=pasted * FACE ** 2 * 6, threads=threads)
    return Finding('photo_paste', f'pasting {pasted} faces of {FACE} px into {size[0] * size[1] / 1e6:.3g} megapixels, '
                   'by CPU time', f'{1000 * race.ours.median_cpu:.3g} ms',
                   f'facexlib, {race.threads} thread(s): {1000 * race.rival.median_cpu:.3g} ms',
                   ratio(race.rival.cpu, race.ours.cpu), 'x', 10, False, limit.words(),
                   race.ours.median_cpu / limit.seconds)


def _write_scene(folder: Path, size: Sequence[int], faces: int) -> Path:
    """A photograph with synthetic faces in front of soft colours."""
    colours = np.random.default_rng(0).integers(60, 200, (10, 14, 3)).astype(np.uint8)
    scene = cv2.resize(colours, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    side = round(250 * FACE / 110)  # a face is about 110 pixels high in a photo of 250
    files = sorted(photos(folder / 'faces', faces, 1).glob('*/*.jpg'))
    for file, (left, top) in zip(files, _places(size, faces, side), strict=True):
        scene[top:top + side, left:left + side] = cv2.resize(cv2.imread(str(file)), (side, side),
                                                             interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / 'photo.png'), scene)
    return folder / 'photo.png'


def _places(size: Sequence[int], count: int, side: int) -> list[tuple[int, int]]:
    """Left and upper edges of squares, in a grid of five columns at most."""
    columns = min(5, count)
    rows = -(-count // columns)
    return [(round((number % columns + 0.5) * size[1] / columns - side / 2),
             round((number // columns + 0.5) * size[0] / rows - side / 2)) for number in range(count)]


def _write_network(folder: Path, width: str) -> Path:
    from cface_basicsr.files.network_file import build_network, save_atomically
    options = described('g', width) | {'scale': SCALE}
    save_atomically({'params': build_network(options).state_dict(), 'network': options}, folder / 'g.pth')
    return folder / 'g.pth'


def _operations(size: Sequence[int], faces: int, width: str) -> float:
    """Of the detector on all copies of the photograph, and of the network."""
    import torch
    from facexlib.detection.retinaface import RetinaFace

    from cface_basicsr.benchmark.costs import count_macs
    from cface_basicsr.enhancing.detector import detection_scales
    from cface_basicsr.files.network_file import build_network
    detector = RetinaFace('mobile0.25', device=torch.device('cpu')).eval()
    a_pixel = count_macs(detector, torch.zeros(1, 3, 256, 256)) / 256 ** 2
    pixels = sum(size[0] * size[1] * scale ** 2 for scale in detection_scales(*size))
    network = build_network(described('g', width) | {'scale': SCALE}).eval()
    return 2 * (pixels * a_pixel + faces * count_macs(network, torch.zeros(1, 3, 32, 32)))


def _to_paste(size: Sequence[int], faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """A photograph, a face of 128x128, its landmarks, and where they belong for each face."""
    from cface_basicsr.data.images.align import template_points
    random, points = np.random.default_rng(0), template_points('arcface', 128)
    photo, face = (random.integers(0, 256, (*shape, 3), np.uint8) for shape in (size, (128, 128)))
    return photo, face, points, [points * FACE / 128 + place for place in _places(size, faces, FACE)]


def paste(size: Sequence[int], faces: int) -> Job:
    """By us, in place."""
    from cface_basicsr.enhancing.paste import paste_detail
    photo, face, points, targets = _to_paste(size, faces)
    return lambda: len([paste_detail(photo, face - np.float32(127.5), points, target, plain=lambda *part: photo[part])
                        for target in targets])


def paste_by_facexlib(size: Sequence[int], faces: int) -> Job:
    """By facexlib's helper, without the networks that it would load."""
    from facexlib.utils.face_restoration_helper import FaceRestoreHelper

    from cface_basicsr.data.images.align import similarity_transform
    photo, face, points, targets = _to_paste(size, faces)
    helper = FaceRestoreHelper.__new__(FaceRestoreHelper)
    helper.input_img, helper.upscale_factor, helper.use_parse, helper.face_size = photo, 1, False, (128, 128)
    helper.restored_faces = [face] * faces
    helper.inverse_affine_matrices = [similarity_transform(points, target) for target in targets]
    return lambda: helper.paste_faces_to_input_image() is None
