"""What a recipe's report measures: every row of the table on identities that were not trained on.

Both sides of each pair are super-resolved; HR and Bicubic are always there. Each number can be traced: the report
keeps the command, the hashes of data and weights, the seed and the versions.
"""

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cface_basicsr import __version__
from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.benchmark.picture import face_grid
from cface_basicsr.benchmark.recipe import Recipe
from cface_basicsr.benchmark.recipe import Report as ReportOptions
from cface_basicsr.benchmark.steps import Show, device, load_recognizer
from cface_basicsr.benchmark.table import Column, Table, verification_columns
from cface_basicsr.benchmark.table import Row as TableRow
from cface_basicsr.checkpoints import build_network_from_file, file_hash
from cface_basicsr.data.compare_index import build_compare_index
from cface_basicsr.data.store import FaceStore, read_identities, write_text_atomically
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import identity_distances
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.evaluation.verification import FoldedPairs, kfold_accuracy, make_pairs, verification_rate_at_far

Images = NDArray[np.uint8]
Floats = NDArray[np.float64]

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
    hr, lr = (_all_images(folder / name, keys) for name in ('hr.lmdb', f'lr_x{recipe.file.scale}.lmdb'))
    labels = np.asarray(labels, dtype=np.int64)
    return Faces(keys, labels, hr, lr, make_pairs(labels, pairs_per_fold=options.pairs_per_fold, seed=0))


def _refuse_shared_identities(recipe: Recipe) -> None:
    names = [{key.split('/')[0] for key in read_identities(folder)[0]}
             for folder in (recipe.train_folder, recipe.test_folder)]
    shared = names[0] & names[1]
    if shared:
        raise UserError(f"training and test folder of '{recipe.data}' share {len(shared)} identities, for example "
                        f"'{min(shared)}'. Make them again with --holdout.")


def _all_images(path: Path, keys: list[str]) -> Images:
    store = FaceStore(path)
    return np.stack([store.image(key) for key in keys])


def _mean_psnr_ssim(sr: Images, hr: Images) -> dict[str, float]:
    psnr, ssim = psnr_ssim(sr.transpose(0, 3, 1, 2), hr.transpose(0, 3, 1, 2))
    return {'psnr': psnr.mean().item(), 'ssim': ssim.mean().item()}


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
    """Measures rows one after another on the same faces, pairs and recognizers."""

    def __init__(self, recipe: Recipe, options: ReportOptions, show: Show) -> None:
        self.recipe, self.options, self.show = recipe, options, show
        self.faces = read_faces(recipe)
        self.recognizers = {name: load_recognizer(recipe.weights_of(who, 'r'))
                            for name, who in self.options.recognizers.items()}
        self.pictures: dict[str, Images] = {}
        self._generated: dict[str, Images] = {}

    def rows(self) -> list[Row]:
        """HR, Bicubic and every row of the recipe."""
        rows = [self._measure(Row('HR'), self.faces.hr),
                self._measure(Row('Bicubic'), self._run(BicubicUpsampler(scale=self.recipe.file.scale)))]
        for done, (title, who) in enumerate(self.options.rows.items()):
            path = self.recipe.weights_of(who, 'g')
            budget = {'images': self.recipe.images(who), 'recognizer_images': self.recipe.recognizer_images(who)}
            row = Row(title, budget, weights=str(path), weights_sha256=file_hash(path, 64))
            rows.append(self._measure(row, self.generated(who)))
            self.show.advance(done + 1)
        return rows

    def generated(self, who: str) -> Images:
        """The held-out faces through the generator of a step; made once."""
        if who not in self._generated:
            network = build_network_from_file(self.recipe.weights_of(who, 'g'))
            self._generated[who] = self._run(network)
        return self._generated[who]

    def _run(self, network: nn.Module) -> Images:
        return super_resolve(network, self.faces.lr, device=device())

    def _measure(self, row: Row, images: Images) -> Row:
        self.pictures[row.title] = images
        row.numbers |= _mean_psnr_ssim(images, self.faces.hr) if row.title != 'HR' else {'psnr': None, 'ssim': 1.0}
        pairs = self.faces.pairs
        for name, recognizer in self.recognizers.items():
            scores = cosine_scores(extract_features(recognizer, images, device=device()), pairs.pairs)
            result = kfold_accuracy(scores, pairs.same, pairs.fold)
            row.per_fold[name] = result.per_fold.tolist()
            row.numbers |= {f'{name}/accuracy': result.mean, f'{name}/accuracy_std': result.std,
                            f'{name}/vr': verification_rate_at_far(scores, pairs.same, FAR)}
        return row

    def domains(self) -> dict[str, dict[str, float]]:
        """Mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C) after the stages (paper, section 3.4)."""
        rows = self._compare_rows()
        return {title: self._distances(pair['generator'], pair['recognizer'], rows)
                for title, pair in self.options.domains.items()}

    def _compare_rows(self) -> NDArray[np.int32]:
        """(N,) the nearest other image of the same person by the first recognizer; -1 where there is none."""
        features = extract_features(next(iter(self.recognizers.values())), self.faces.hr, device=device())
        return build_compare_index(features, self.faces.labels, 1)[:, 0]

    def _distances(self, generator: str, recognizer: str, compare: NDArray[np.int32]) -> dict[str, float]:
        network = load_recognizer(self.recipe.weights_of(recognizer, 'r'))
        sr, hr = (extract_features(network, images, device=device())
                  for images in (self.generated(generator), self.faces.hr))
        return dict(identity_distances(sr, hr, compare))

    def picture(self, path: Path) -> None:
        """Rows of faces of different people, columns of systems."""
        first = np.unique(self.faces.labels, return_index=True)[1]
        chosen = first[np.linspace(0, len(first) - 1, min(self.options.faces, len(first))).astype(int)]
        lr = np.repeat(np.repeat(self.faces.lr, self.recipe.file.scale, axis=1), self.recipe.file.scale, axis=2)
        columns = {'LR': lr} | {title: images for title, images in self.pictures.items() if title != 'HR'}
        columns['HR'] = self.faces.hr
        face_grid({title: [images[i] for i in chosen] for title, images in columns.items()}, path)


# -------------------------------------------------------------------------------------------------------- the verdict

def paired_difference(a: list[float], b: list[float]) -> tuple[float, float]:
    """Mean of a - b over the folds and its standard error.

    >>> paired_difference([0.9, 0.8], [0.8, 0.6])
    (0.15000000000000002, 0.05000000000000002)
    """
    difference = np.asarray(a) - np.asarray(b)
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


def compare_rows(a: Row, b: Row, recognizer: str) -> str:
    """One plain sentence: does row a beat row b, and is the difference larger than chance over the folds?"""
    mean, error = paired_difference(a.per_fold[recognizer], b.per_fold[recognizer])
    verdict = 'beats' if mean > 2 * error else 'loses to' if mean < -2 * error else 'does not differ clearly from'
    return (f'{a.title} {verdict} {b.title} by {recognizer}: {100 * mean:+.1f} points '
            f'(standard error over the folds {100 * error:.1f}).')


def verdicts(rows: list[Row]) -> list[str]:
    """Every trained row against Bicubic, and the rows of C-Face against SRGAN, with each recognizer."""
    by_title = {row.title: row for row in rows}
    against = [(row, by_title['Bicubic']) for row in rows if row.weights]
    against += [(row, by_title['SRGAN']) for row in rows if 'SRGAN' in by_title and row.title.startswith('C-Face')]
    return [compare_rows(a, b, name) for a, b in against for name in a.per_fold]


# ------------------------------------------------------------------------------------------------------------ the text

@dataclass
class Result:
    """What was measured, and where it lies."""

    rows: list[Row]
    domains: dict[str, dict[str, float]]
    trace: dict[str, Any]
    folder: Path
    notes: list[str]

    def table(self) -> Table:
        """Systems by numbers."""
        columns = [*verification_columns(list(self.rows[0].per_fold), FAR),
                   Column('images', 'images G', 0, best=None), Column('recognizer_images', 'images R', 0, best=None)]
        rows = [TableRow(row.title, row.numbers, reference=row.title == 'HR') for row in self.rows]
        return Table('', columns, rows)

    def domain_table(self) -> Table:
        """Stages by mean distances."""
        columns = [Column('sr_hr', 'L_SI(SR, HR)', 3, best=None), Column('sr_compare', 'L_SI(SR, C)', 3, best=None),
                   Column('hr_compare', 'L_SI(HR, C)', 3, best=None)]
        return Table('', columns, [TableRow(title, values) for title, values in self.domains.items()])

    def as_markdown(self) -> str:
        """The whole report."""
        faces = self.trace['test']
        parts = [f"Held-out identities: {faces['identities']}, {faces['images']} images; {faces['pairs']} pairs in ten "
                 f"folds, both sides super-resolved x{self.trace['scale']}. ± is the deviation over the folds; "
                 'images G and R: how many went through the generator and the recognizer in training, all steps.',
                 self.table().markdown(), '\n'.join(f'- {line}' for line in verdicts(self.rows))]
        if self.domains:
            parts += ['Do SR and HR share a domain (paper, section 3.4)? Means over the held-out images; C is the '
                      'nearest other photo of the same person.', self.domain_table().markdown()]
        parts += self.notes
        parts.append(f"Command: `{self.trace['command']}`. Data {self.trace['data_sha256'][:12]}, "
                     f"torch {self.trace['torch']}, {self.trace['device']}.")
        return '\n\n'.join(parts) + '\n'

    def as_text(self) -> str:
        """For the terminal: the tables, and where the files are."""
        lines = [self.as_markdown(), f"Picture: {self.folder / 'faces.png'}",
                 f"Report:  {self.folder / 'report.md'}, report.json, table.csv"]
        return '\n'.join(lines)

    def as_json(self) -> str:
        """Everything, for programs."""
        return json.dumps({'rows': [asdict(row) for row in self.rows], 'domains': self.domains, 'trace': self.trace,
                           'notes': self.notes}, indent=1, allow_nan=False)

    def write(self) -> None:
        """report.md, report.json and table.csv in the folder."""
        write_text_atomically(self.folder / 'report.md', self.as_markdown())
        write_text_atomically(self.folder / 'report.json', self.as_json())
        write_text_atomically(self.folder / 'table.csv', self.table().csv())


def _trace(recipe: Recipe, faces: Faces) -> dict[str, Any]:
    manifest = recipe.test_folder / 'manifest.json'
    return {'command': ' '.join(['cface', *sys.argv[1:]]), 'recipe': recipe.file.model_dump(exclude_none=True),
            'scale': recipe.file.scale, 'data_sha256': file_hash(manifest, 64),
            'test': {'identities': len(set(faces.labels.tolist())), 'images': len(faces.keys),
                     'pairs': len(faces.pairs.same)},
            'recognizers': {name: file_hash(recipe.weights_of(who, 'r'), 64)
                            for name, who in recipe.file.report.recognizers.items()},
            'version': __version__, 'torch': torch.__version__, 'python': platform.python_version(),
            'device': torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {torch.get_num_threads()} '
                                                                                     'threads'}


def write_report(recipe: Recipe, show: Show, after: str | None = None) -> Result:
    """Measure the rows of a recipe; write report.md, report.json, table.csv and faces.png.

    Args:
        recipe: its steps have been run.
        show: progress.
        after: only the rows that are there after this step, into `<run>/after_<step>/`; None: all, into the run folder.
    """
    options = _rows_after(recipe, after) if after else recipe.file.report
    folder = recipe.out / f'after_{after}' if after else recipe.out
    folder.mkdir(exist_ok=True)
    title = f'report after {after}' if after else 'report'
    show.start(title, len(options.rows))
    measuring = Measuring(recipe, options, show)
    result = Result(measuring.rows(), measuring.domains(), _trace(recipe, measuring.faces), folder, options.notes)
    measuring.picture(folder / 'faces.png')
    result.write()
    show.end(title, str(folder / 'report.md'))
    return result


def _rows_after(recipe: Recipe, step: str) -> ReportOptions:
    """The report's options with only what the steps up to `step` have made."""
    names = list(recipe.file.steps)
    later = set(names[names.index(step) + 1:])
    report = recipe.file.report
    return report.model_copy(update={
        'rows': {title: who for title, who in report.rows.items() if who not in later},
        'domains': {title: pair for title, pair in report.domains.items() if not later & set(pair.values())}})


def read_result(folder: Path) -> Mapping[str, Any]:
    """The report.json of a run folder."""
    return json.loads((folder / 'report.json').read_text())
