"""Measures the rows of a report on identities that were not trained on.

Both sides of each pair are super-resolved; HR and Bicubic are always there. A run measures more than once (after
stage 1, at its end, and for the domain distances); images and features are made once each.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.data.compare_index import build_compare_index
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import identity_distances, verification_numbers
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.evaluation.verification import FoldedPairs, make_pairs
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import read_manifest
from cface_basicsr.files.network_file import build_network_from_file, file_hash
from cface_basicsr.recognizers.load import crop_note, load_recognizer
from cface_basicsr.report.face_grid import face_grid
from cface_basicsr.runtime import pick_device
from cface_basicsr.training.recipe import Recipe
from cface_basicsr.training.recipe import Report as ReportOptions

Images = NDArray[np.uint8]

FAR = 0.01


@dataclass
class Faces:
    """The held-out faces: HR and LR images in the order of the labels, and the pairs of the ten folds."""

    keys: list[str]
    labels: NDArray[np.int64]
    hr: Images  # (N, H, W, 3)
    lr: Images  # (N, h, w, 3)
    pairs: FoldedPairs


def read_faces(recipe: Recipe) -> Faces:
    """Read the test folder of a recipe's data and draw its pairs.

    Raises:
        UserError: there is no test folder, or it shares identities with the training folder.
    """
    folder, options = recipe.test_folder, recipe.file.report
    if not (folder / 'hr.lmdb').is_dir():
        raise UserError(f"'{folder}' is missing: the report needs identities that were not trained on.\n"
                        'Make them: cface prepare … --holdout N --seed S')
    _refuse_shared_identities(recipe)
    keys, labels = read_identities(folder)
    hr, lr = (all_images(folder / name, keys) for name in ('hr.lmdb', f'lr_x{recipe.file.scale}.lmdb'))
    labels = np.asarray(labels, dtype=np.int64)
    return Faces(keys, labels, hr, lr, make_pairs(labels, pairs_per_fold=options.pairs_per_fold, seed=0))


def _refuse_shared_identities(recipe: Recipe) -> None:
    names = [{key.split('/')[0] for key in read_identities(folder)[0]}
             for folder in (recipe.train_folder, recipe.test_folder)]
    shared = names[0] & names[1]
    if shared:
        raise UserError(f"training and test folder of '{recipe.data}' share {len(shared)} identities, for example "
                        f"'{min(shared)}'. Make them again with --holdout.")


def all_images(path: Path, keys: list[str]) -> Images:
    """(N, H, W, 3): the images of a store in the order of the keys."""
    store = FaceStore(path)
    return np.stack([store.image(key) for key in keys])


def equal_pictures_note(folder: Path, keys: list[str]) -> str | None:
    """One line when held-out pictures also stand under another identity, in training or among the held-out ones.

    Args:
        folder: the held-out part; its manifest lists groups of equal faces, those of the other part too.
        keys: of the held-out faces.
    """
    groups = read_manifest(folder).get('duplicates', [])
    held_out = set(keys)
    mixed = [group for group in groups if len({key.split('/')[0] for key in group}) > 1 and held_out & set(group)]
    trained = sum(len(held_out & set(group)) for group in mixed if not held_out.issuperset(group))
    if not mixed:
        return None
    return (f'The data names equal pictures as different people: {sum(len(held_out & set(g)) for g in mixed)} held-out '
            f'pictures, {trained} of them also in the training set. They are counted as they are named.')


@dataclass
class Row:
    """One system and all that was measured of it.

    Attributes:
        title: in the table.
        numbers: psnr, ssim; '<recognizer>/accuracy', '…/accuracy_std', '…/vr'; images and recognizer_images, the
            budgets of its generator and of its recognizer with all steps they started from.
        per_fold: recognizer -> accuracy of each of the ten folds.
        weights, weights_sha256: the generator's file.
    """

    title: str
    numbers: dict[str, float | int | None] = field(default_factory=dict)
    per_fold: dict[str, list[float]] = field(default_factory=dict)
    weights: str = ''
    weights_sha256: str = ''


class Measuring:
    """The held-out faces of a recipe, and what its networks make of them."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.faces = read_faces(recipe)
        self._images: dict[str, Images] = {}
        self._features: dict[tuple[str, str], NDArray[np.float32]] = {}
        self._recognizers: dict[str, nn.Module] = {}

    def images(self, system: str) -> Images:
        """(N, H, W, 3): 'HR', 'Bicubic', or the faces through the generator of a step."""
        if system == 'HR':
            return self.faces.hr
        if system not in self._images:
            network = BicubicUpsampler(scale=self.recipe.file.scale) if system == 'Bicubic' else \
                build_network_from_file(self.recipe.weights_of(system, 'g'))
            self._images[system] = super_resolve(network, self.faces.lr, device=pick_device())
        return self._images[system]

    def recognizer(self, who: str) -> nn.Module:
        """The recognizer of a step or of a file."""
        if who not in self._recognizers:
            self._recognizers[who] = load_recognizer(self.recipe.weights_of(who, 'r'))
        return self._recognizers[who]

    def features(self, who: str, system: str) -> NDArray[np.float32]:
        """(N, D) unit features of a system's images by a recognizer."""
        if (who, system) not in self._features:
            self._features[who, system] = extract_features(self.recognizer(who), self.images(system),
                                                           device=pick_device())
        return self._features[who, system]

    def row(self, title: str, system: str, recognizers: dict[str, str]) -> Row:
        """All numbers of one system; `recognizers`: name in the table -> step or file."""
        row = Row(title) if title == system else self._trained_row(title, system)
        row.numbers |= self._restoration(system)
        pairs = self.faces.pairs
        for name, who in recognizers.items():
            scores = cosine_scores(self.features(who, system), pairs.pairs)
            numbers, row.per_fold[name] = verification_numbers(name, scores, pairs.same, pairs.fold, FAR)
            row.numbers |= numbers
        return row

    def _trained_row(self, title: str, step: str) -> Row:
        path = self.recipe.weights_of(step, 'g')
        budget = {'images': self.recipe.images(step), 'recognizer_images': self.recipe.recognizer_images(step)}
        return Row(title, budget, weights=str(path), weights_sha256=file_hash(path, 64))

    def _restoration(self, system: str) -> dict[str, float | None]:
        if system == 'HR':
            return {'psnr': None, 'ssim': 1.0}
        psnr, ssim = psnr_ssim(*(images.transpose(0, 3, 1, 2) for images in (self.images(system), self.faces.hr)))
        return {'psnr': psnr.mean().item(), 'ssim': ssim.mean().item()}

    def distances(self, generator: str, recognizer: str, compare_by: str) -> dict[str, float]:
        """Mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C) (paper, section 3.4); C is the nearest by `compare_by`."""
        compare = build_compare_index(self.features(compare_by, 'HR'), self.faces.labels, 1)[:, 0]
        return dict(identity_distances(self.features(recognizer, generator), self.features(recognizer, 'HR'), compare))

    def notes(self, recognizers: dict[str, str]) -> list[str]:
        """What a reader must know: a crop the recognizers were not made for, equal pictures of different people."""
        notes = [crop_note(self.recipe.test_folder, name, self.recognizer(who)) for name, who in recognizers.items()]
        return [note for note in (*notes, equal_pictures_note(self.recipe.test_folder, self.faces.keys)) if note]

    def picture(self, options: ReportOptions, path: Path) -> None:
        """Rows of faces of different people, columns of systems."""
        first = np.unique(self.faces.labels, return_index=True)[1]
        chosen = first[np.linspace(0, len(first) - 1, min(options.faces, len(first))).astype(int)]
        systems = {'Bicubic': 'Bicubic', **options.rows, 'HR': 'HR'}
        columns = {'LR': self.faces.lr} | {title: self.images(system) for title, system in systems.items()}
        face_grid({title: [images[i] for i in chosen] for title, images in columns.items()}, path)
