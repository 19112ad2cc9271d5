"""Makes docs/enhanced_x8.png, what the networks by name make of a face, and docs/photo_x4.png, what `cface enhance`
makes of a photograph: `python docs/pictures.py`.

The faces are scikit-image's `astronaut` (NASA, public domain) and synthetic people that no training has seen. Below
each face is its cosine similarity to the original by dlib's recognizer. Networks for photographs are those of
models/photos.
"""

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

import cface_basicsr as cface
from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.data.generated_faces.render import render_photo
from cface_basicsr.data.images.align import Aligner, find_detector
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.report.face_grid import face_grid

ROOT = Path(__file__).parents[1]
PHOTOS = {'astronaut': skimage.data.astronaut(), 'synthetic, 1': render_photo(3, 0, seed=99),
          'synthetic, 2': render_photo(8, 0, seed=99)}
SCALES = (8,)


def columns_of(scale: int, originals: NDArray[np.uint8]) -> dict[str, list[NDArray[np.uint8]]]:
    """Title -> the faces of one scale."""
    lr = low_resolution(originals, scale)
    columns = {'LR': list(lr), 'Bicubic': list(cface.SuperResolver(BicubicUpsampler(scale=scale), scale).enhance(lr))}
    for title, name in (('cface, synthetic faces', f'cface-x{scale}'),
                        ('cface, photographs', ROOT / f'models/photos/cface-x{scale}-photos.safetensors')):
        if isinstance(name, str) or name.is_file():
            columns[title] = list(cface.load(name).enhance(lr))
    return columns | {'HR': list(originals)}


def captions_of(columns: dict[str, list[NDArray[np.uint8]]]) -> dict[str, list[str]]:
    """Title -> the similarity of each face to the last column."""
    judge, titles = cface.recognizer('dlib'), [title for title in columns if title not in ('LR', 'HR')]
    features = extract_features(judge, np.concatenate([np.stack(columns[title]) for title in (*titles, 'HR')]))
    count = len(columns['HR'])
    scores = cosine_scores(features, [(row, len(titles) * count + row % count) for row in range(len(titles) * count)])
    return {title: [f'{score:.2f}' for score in scores[at * count:(at + 1) * count]] for at, title in enumerate(titles)}


def whole_photograph(factor: int = 4) -> dict[str, list[NDArray[np.uint8]]]:
    """Title -> the part with the face of a photograph that was reduced."""
    photo = PHOTOS['astronaut']
    small = cv2.resize(photo, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    network = cface.load(ROOT / f'models/photos/cface-x{factor}-photos.safetensors')
    enhanced = network.enhance_photo(small, cface.PhotoSettings(upscale=factor)).image
    enlarged = {title: cv2.resize(small, None, fx=factor, fy=factor, interpolation=kind)
                for title, kind in (('Photograph', cv2.INTER_NEAREST), ('Bicubic', cv2.INTER_CUBIC))}
    shown = enlarged | {'cface enhance': enhanced, 'Original': photo}
    return {title: [image[20:220, 130:330]] for title, image in shown.items()}


def main() -> None:
    """Make one picture a scale, and that of a photograph."""
    print(face_grid(whole_photograph(), ROOT / 'docs/photo_x4.png'))
    aligner = Aligner(find_detector(None), 'arcface', 128)
    originals = np.stack([aligner(photo) for photo in PHOTOS.values()])
    for scale in SCALES:
        columns = columns_of(scale, originals)
        print(face_grid(columns, ROOT / f'docs/enhanced_x{scale}.png', 1, list(PHOTOS), captions_of(columns)))


if __name__ == '__main__':
    main()
