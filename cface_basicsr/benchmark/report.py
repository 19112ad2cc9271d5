"""What a recipe's report measures: every row of the table on identities that were not trained on.

Both sides of each pair are super-resolved; HR and Bicubic are always there. Each number can be traced: the report
keeps the command, the hashes of data and weights, the seed and the versions.
"""

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
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
from cface_basicsr.benchmark.table import Table, write_text
from cface_basicsr.checkpoints import build_network_from_file, file_hash
from cface_basicsr.data.compare_index import build_compare_index
from cface_basicsr.data.store import FaceStore, read_identities
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.verification import FoldedPairs, kfold_accuracy, make_pairs, verification_rate_at_far
from cface_basicsr.ops.identity_distance import identity_distance

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

    @cached_property
    def nearest_size(self) -> int:
        """Side of the HR images."""
        return self.hr.shape[1]


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


@torch.no_grad()
def super_resolve(network: nn.Module, lr: Images, batch_size: int = 32) -> Images:
    """(N, h, w, 3) uint8 to (N, H, W, 3) uint8: clamped, rounded."""
    network = network.to(device()).eval()
    parts = []
    for begin in range(0, len(lr), batch_size):
        batch = torch.from_numpy(lr[begin:begin + batch_size]).to(device()).permute(0, 3, 1, 2).float() / 255
        sr = network(batch).clamp(0, 1).mul(255).round().byte()
        parts.append(sr.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


def _mean_psnr_ssim(sr: Images, hr: Images, batch_size: int = 64) -> tuple[float, float]:
    values = [torch.stack(psnr_ssim(*(torch.from_numpy(x[i:i + batch_size]).permute(0, 3, 1, 2) for x in (sr, hr))))
              for i in range(0, len(sr), batch_size)]
    psnr, ssim = torch.cat(values, dim=1).double().mean(dim=1).tolist()
    return psnr, ssim


@dataclass
class Row:
    """One system: its images and all that was measured of them."""

    title: str
    images: int = 0
    recognizer_images: int = 0
    psnr: float = float('inf')
    ssim: float = 1.0
    accuracy: dict[str, float] = field(default_factory=dict)
    std: dict[str, float] = field(default_factory=dict)
    rate: dict[str, float] = field(default_factory=dict)
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
                self._measure(Row('Bicubic'), super_resolve(BicubicUpsampler(scale=self.recipe.file.scale),
                                                            self.faces.lr))]
        for done, (title, who) in enumerate(self.options.rows.items()):
            path = self.recipe.weights_of(who, 'g')
            row = Row(title, self.recipe.images(who), self.recipe.recognizer_images(who), weights=str(path),
                      weights_sha256=file_hash(path))
            rows.append(self._measure(row, self.generated(who)))
            self.show.advance(done + 1)
        return rows

    def generated(self, who: str) -> Images:
        """The held-out faces through the generator of a step; made once."""
        if who not in self._generated:
            network = build_network_from_file(self.recipe.weights_of(who, 'g'))
            self._generated[who] = super_resolve(network, self.faces.lr)
        return self._generated[who]

    def _measure(self, row: Row, images: Images) -> Row:
        self.pictures[row.title] = images
        if row.title != 'HR':
            row.psnr, row.ssim = _mean_psnr_ssim(images, self.faces.hr)
        pairs = self.faces.pairs
        for name, recognizer in self.recognizers.items():
            features = extract_features(recognizer, images, batch_size=64, device=device())
            scores = cosine_scores(features, pairs.pairs)
            result = kfold_accuracy(scores, pairs.same, pairs.fold)
            row.accuracy[name], row.std[name] = result.mean, result.std
            row.per_fold[name] = result.per_fold.tolist()
            row.rate[name] = verification_rate_at_far(scores, pairs.same, FAR)
        return row

    def domains(self) -> dict[str, dict[str, float]]:
        """Mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C) after the stages (paper, section 3.4)."""
        rows = self._compare_rows()
        return {title: self._distances(pair['generator'], pair['recognizer'], rows)
                for title, pair in self.options.domains.items()}

    def _compare_rows(self) -> NDArray[np.int32]:
        """(N,) the nearest other image of the same person by the first recognizer; -1 where there is none."""
        features = extract_features(next(iter(self.recognizers.values())), self.faces.hr, batch_size=64,
                                    device=device())
        return build_compare_index(features, self.faces.labels, 1)[:, 0]

    def _distances(self, generator: str, recognizer: str, compare: NDArray[np.int32]) -> dict[str, float]:
        network = load_recognizer(self.recipe.weights_of(recognizer, 'r'))
        hr, sr = (torch.from_numpy(extract_features(network, images, batch_size=64, device=device()))
                  for images in (self.faces.hr, self.generated(generator)))
        there = torch.from_numpy(compare >= 0)
        c = hr[torch.from_numpy(compare).long()]
        return {'L_SI(SR, HR)': identity_distance(sr, hr).mean().item(),
                'L_SI(SR, C)': identity_distance(sr, c)[there].mean().item(),
                'L_SI(HR, C)': identity_distance(hr, c)[there].mean().item()}

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
        names = list(self.rows[0].accuracy)
        columns = ['system', *(f'{what} ({name})' for name in names for what in ('accuracy %', f'VR@FAR {FAR:.0%} %')),
                   'PSNR dB', 'SSIM', 'images G', 'images R']
        return Table(columns, [self._cells(row, names) for row in self.rows])

    @staticmethod
    def _cells(row: Row, names: list[str]) -> list[str]:
        measured = [cell for name in names for cell in (
            f'{100 * row.accuracy[name]:.2f} ± {100 * row.std[name]:.2f}', f'{100 * row.rate[name]:.1f}')]
        return [row.title, *measured, '-' if row.title == 'HR' else f'{row.psnr:.2f}', f'{row.ssim:.4f}',
                f'{row.images:,}', f'{row.recognizer_images:,}']

    def domain_table(self) -> Table:
        """Stages by mean distances."""
        names = ['L_SI(SR, HR)', 'L_SI(SR, C)', 'L_SI(HR, C)']
        return Table(['mean distance', *names],
                     [[title, *(f'{values[name]:.3f}' for name in names)] for title, values in self.domains.items()])

    def as_markdown(self) -> str:
        """The whole report."""
        faces = self.trace['test']
        parts = [f"Held-out identities: {faces['identities']}, {faces['images']} images; {faces['pairs']} pairs in ten "
                 f"folds, both sides super-resolved x{self.trace['scale']}. ± is the standard deviation over the folds.",
                 self.table().as_markdown(), '\n'.join(f'- {line}' for line in verdicts(self.rows))]
        if self.domains:
            parts += ['Do SR and HR share a domain (paper, section 3.4)? Means over the held-out images; C is the '
                      'nearest other photo of the same person.', self.domain_table().as_markdown()]
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
                           'notes': self.notes}, indent=1).replace('Infinity', 'null')

    def write(self) -> None:
        """report.md, report.json and table.csv in the folder."""
        write_text(self.as_markdown(), self.folder / 'report.md')
        write_text(self.as_json(), self.folder / 'report.json')
        write_text(self.table().as_csv(), self.folder / 'table.csv')


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
