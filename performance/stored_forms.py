"""What each form of `cface prepare --store` costs: images a second and core, both ways, and bytes an image."""

from pathlib import Path

import numpy as np

from performance.faces_on_disk import photos, prepared, temporary_folder
from performance.limits import Limit
from performance.measure import Finding, take_turns


def run(*, identities: int = 32, images: int = 8, rounds: int = 9) -> list[Finding]:
    """Encode and decode the HR faces of generated photos, 128x128, in memory, with one thread.

    Args:
        identities, images: of the generated photos.
        rounds: passes of each.
    """
    import cv2

    from cface_basicsr.files.face_store import FORMS, FaceStore, decode_planes, encode_image
    cv2.setNumThreads(1)
    with temporary_folder() as folder:
        store = FaceStore(prepared(photos(Path(folder, 'photos'), identities, images), Path(folder, 'data')) /
                          'hr.lmdb')
        faces = [store.image(key) for key in store.keys]
    encoded = {form: [encode_image(face, form) for face in faces] for form in FORMS}
    reads = take_turns({form: lambda form=form: [decode_planes(each) for each in encoded[form]] for form in FORMS},
                       rounds)
    writes = take_turns({form: lambda form=form: [encode_image(face, form) for face in faces] for form in FORMS}, 1, 0)
    return [_finding(form, faces, encoded[form], len(faces) / reads[form].median_cpu,
                     len(faces) / writes[form].median_cpu) for form in FORMS]


def _finding(form: str, faces: list[np.ndarray], encoded: list[bytes], read: float, written: float) -> Finding:
    from cface_basicsr.files.face_store import decode_image
    errors = [np.square(decode_image(one) - face.astype(float)).mean()
              for one, face in zip(encoded, faces, strict=True)]
    loss = f'{10 * np.log10(255 ** 2 / np.mean(errors)):.1f} dB' if any(errors) else 'exact'
    size = np.mean([len(each) for each in encoded])
    limit = Limit(moved=size + faces[0].nbytes)
    return Finding(f'stored_{form}', f'`--store {form}`: HR faces of 128x128 read; written; size of one',
                   f'{read:,.0f}/s; {written:,.0f}/s; {size / 1000:.1f} kB', loss, read, 'images/s per core',
                   limit=limit.words(), of_limit=1 / read / limit.seconds)
