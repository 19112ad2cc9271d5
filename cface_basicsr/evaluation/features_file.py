"""Precomputed features as files: a matrix and the names of its rows, for those who need only the protocols.

    lfw.npy        (N, D) of floats: the feature of each image, of any length
    lfw.keys.txt   N lines, one per row: the image's key, or its file name

Rows are joined to the images of a folder by name, never by position.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cface_basicsr.errors import UserError
from cface_basicsr.files.array_file import read_npy
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.image_keys import find_images, image_label
from cface_basicsr.files.text_file import read_text


def keys_file(path: str | Path) -> Path:
    """The file with the names of a features file's rows: features.npy -> features.keys.txt."""
    return Path(path).with_suffix('.keys.txt')


def check_features_name(path: Path) -> None:
    """Check the name of a features file that will be written.

    Raises:
        UserError: it does not end in .npy.
    """
    if path.suffix != '.npy':
        raise UserError(f"'{path}': expected a name that ends in .npy.")


def read_features(path: str | Path, keys: Sequence[str], *, allow_extra: bool = False) -> NDArray[np.float32]:
    """The features of a folder's images, in the order of its keys.

    A line of the keys file is a path or a name, with or without the image's extension: `Ann/Ann_0001`,
    `lfw/Ann/Ann_0001.jpg`, `Ann_0001.jpg`. If the lines have folders, the last folder and the name must be the key's
    identity and image. If no line has one, only names are compared; then no two images of the folder may share one.
    Characters that a key writes as %XX may be written either way (`find_images`).

    Args:
        path: the .npy file, (N, D) of floats; the names of its rows are in `<stem>.keys.txt` next to it.
        keys: '<identity>/<image>' of each image, as in identities.csv.
        allow_extra: leave out rows that belong to none of the images, instead of refusing them.

    Returns:
        (len(keys), D) float32, of the length that they have in the file.

    Raises:
        UserError: a file is missing or not a matrix of floats; lines and rows, or lines and images, do not match; a
            line may mean two images; a feature is NaN, infinite or zero.
    """
    path = Path(path)
    matrix, names = _read_matrix(path), _read_names(path)
    if len(names) != len(matrix):
        raise UserError(f"'{keys_file(path)}' has {len(names)} lines, expected one for each of {len(matrix)} rows.")
    features = np.asarray(matrix[_rows(names, keys, keys_file(path), allow_extra)], dtype=np.float32)
    _check_directions(features, keys, path)
    return features


def keys_of_features(path: str | Path) -> list[str]:
    """The images of a features file (N, D), if nothing else lists them: 'folder/name' or 'name' of each row.

    Raises:
        UserError: there is no list of keys next to the file.
    """
    return [image_label(name) for name in _read_names(Path(path))]


def write_features(path: str | Path, features: ArrayLike, keys: Sequence[str]) -> Path:
    """Write what `read_features` reads: float32 rows, and their keys in a file next to them.

    A kill leaves either no file or both: the old matrix goes first, and the new one comes last.

    Args:
        path: ends in .npy; the folder must exist.
        features: (N, D).
        keys: N, all different.

    Raises:
        UserError: shapes do not match, a key occurs twice, or a feature is NaN, infinite or zero.
    """
    path = Path(path)
    check_features_name(path)
    features = np.asarray(features, dtype=np.float32)
    if features.ndim != 2 or len(features) != len(keys):
        raise UserError(f'features to write: expected (N, D) and N keys, got {features.shape} and {len(keys)} keys.')
    if len(set(keys)) != len(keys) or any('\n' in key or not key.strip() for key in keys):
        raise UserError('features to write: expected different keys, none of them empty, each on one line.')
    _check_directions(features, keys, path)
    with replacing(path) as matrix, replacing(keys_file(path)) as names:  # the names are renamed first
        with open(matrix, 'wb') as file:
            np.save(file, features)
        names.write_text(''.join(f'{key}\n' for key in keys), encoding='utf-8')
        path.unlink(missing_ok=True)  # never the old matrix with the new names
    return path


def _read_matrix(path: Path) -> NDArray:
    """(N, D), mapped from disk: only the rows that are needed are read."""
    matrix = read_npy(path, 'Expected features (N, D), written with numpy.save.')
    if matrix.ndim != 2 or matrix.dtype.kind != 'f':
        raise UserError(f"'{path}': expected one matrix (N, D) of floats, got {matrix.dtype} {matrix.shape}.")
    return matrix


def _read_names(path: Path) -> list[str]:
    text = read_text(keys_file(path), f"Expected one line per row of '{path.name}': the image's key "
                                      '(<identity>/<image>) or file name.')
    return [line.strip() for line in io.StringIO(text.rstrip(), newline=None)]


def _rows(names: Sequence[str], keys: Sequence[str], where: Path, allow_extra: bool) -> list[int]:
    """The line that belongs to each key."""
    _check_lines(names, where)
    found = find_images(keys, names, f"'{where}'")
    missing = [key for key, row in zip(keys, found, strict=True) if row is None]
    extra = sorted(set(range(len(names))) - set(found))
    if missing or (extra and not allow_extra):
        raise UserError(_mismatch(names, keys, missing, [names[row] for row in extra], where))
    return found


def _check_lines(names: Sequence[str], where: Path) -> None:
    """Check that each line names an image, none twice, and all with their folder or all without."""
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        label = image_label(name)
        if not label:
            raise UserError(f"'{where}', line {row + 1}: expected a key or file name, got an empty line.")
        if rows and ('/' in label) != ('/' in next(iter(rows))):
            raise UserError(f"'{where}': line 1 is '{names[0]}', line {row + 1} is '{name}'. Write all lines with "
                            'their folder (<identity>/<image>), or all without.')
        if label in rows:
            raise UserError(f"'{where}': lines {rows[label] + 1} and {row + 1} name the same image, '{label}'. Write "
                            'the folder too (<identity>/<image>), or remove one of the rows.')
        rows[label] = row


def _mismatch(names: Sequence[str], keys: Sequence[str], missing: Sequence[str], extra: Sequence[str],
              where: Path) -> str:
    counts = [f"{len(without)} {what} (first: '{without[0]}')" for what, without in (
        ('images have no row', missing), ('rows belong to no image', extra)) if without]
    images = {key.rpartition('/')[2] for key in keys}
    if len(missing) == len(keys) and images <= {image_label(name).rpartition('/')[2] for name in names}:
        advice = 'The names by themselves would match: write them without their folders.'
    else:
        advice = "Give the features of this folder's images, and in each line the image's key or file name."
    return (f"'{where}' and the folder do not match: {len(names)} rows, {len(keys)} images; {'; '.join(counts)}.\n"
            f'{advice}')


def _check_directions(features: NDArray[np.float32], keys: Sequence[str], path: Path) -> None:
    from cface_basicsr.evaluation.features import broken_rows  # it needs torch
    bad = broken_rows(features)
    if len(bad):
        raise UserError(f"'{path}': {len(bad)} of {len(features)} features are NaN, infinite or zero (first: "
                        f"'{keys[bad[0]]}'). No score can be computed from them.")
