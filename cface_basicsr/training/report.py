"""The report of a recipe: its rows measured on identities that were not trained on, as `Results`.

Both sides of each pair are super-resolved; HR and Bicubic are always there. A run is measured more than once (after
stage 1, at its end, and for the domain distances); each feature is made once.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from cface_basicsr.data.compare_index import build_compare_index
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import Embedded, identity_distances
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import manifest_hash
from cface_basicsr.files.network_file import build_network_from_file, file_hash
from cface_basicsr.measuring.protocol import Features
from cface_basicsr.measuring.results import REFERENCES, DataSet, Faces, Facts, Results, Run, facts_of_this_run
from cface_basicsr.measuring.test_set import OpenTestSet, Recognizer
from cface_basicsr.runtime import Progress, describe_device
from cface_basicsr.training.recipe import Recipe, ReportOptions

_COLLAPSED = 1e-3
"""A mean distance between photos of different faces below this: the recognizer gives every face one feature."""


class RecipeReport:
    """Measures the rows of a recipe whose steps have been run."""

    def __init__(self, recipe: Recipe) -> None:
        """
        Raises:
            UserError: a test set is missing, does not fit its lists, or has identities that were trained on.
        """
        self.recipe, self.options = recipe, recipe.file.report
        self._recognizers: dict[str, Recognizer] = {}
        recognizers = {name: self._recognizer(who) for name, who in self.options.recognizers.items()}
        self.tests = [OpenTestSet(name, test, self._folder(test.data), recipe.file.scale, recognizers)
                      for name, test in self.options.tests.items()]
        self._embedded: dict[tuple[str, str], Embedded] = {}

    def _folder(self, data: str | None) -> Path:
        """A test set's folder."""
        folder = Path(data) if data else self.recipe.test_folder
        if not (folder / 'hr.lmdb').is_dir():
            raise UserError(f"'{folder}' is missing: the report needs identities that were not trained on.\n"
                            'Make them: cface prepare … --holdout N --seed S')
        if not data:
            self._refuse_shared_identities(folder)
        return folder

    def _refuse_shared_identities(self, folder: Path) -> None:
        names = [{key.split('/')[0] for key in read_identities(each)[0]} for each in (self.recipe.train_folder, folder)]
        shared = names[0] & names[1]
        if shared:
            raise UserError(f"training and test folder of '{self.recipe.data}' share {len(shared)} identities, for "
                            f"example '{min(shared)}'. Make them again with --holdout.")

    def results(self, show: Progress, after: str | None = None) -> tuple[Results, Path]:
        """Measure the rows; what was measured before is not measured again.

        Args:
            after: only the rows that are there after this step, for `<run>/after_<step>/`; None: all.

        Returns:
            the results, and the folder where their paths begin.
        """
        options, folder = self._options_after(after), self.recipe.out / f'after_{after}' if after else self.recipe.out
        title = f'report after {after}' if after else 'report'
        show.start(title, len(options.rows) + 2)
        runs = []
        for system, step in {**{name: name for name in REFERENCES}, **options.rows}.items():
            runs.append(self._run(system, step, folder))
            show.advance(len(runs))
        domains = {name: self._distances(**pair) for name, pair in options.domains.items()}
        faces = [Faces(test.name, []) for test in self.tests]
        for test, entry in zip(self.tests, faces, strict=True):
            test.save_low(entry, folder)
        results = Results('train', self.recipe.file.name, self._facts(runs, domains), [run.system for run in runs],
                          [self.recipe.file.scale], runs, [entry for entry in faces if entry.keys], domains)
        show.end(title, str(folder / 'report.md'))
        return results, folder

    def _options_after(self, step: str | None) -> ReportOptions:
        """The report's options with only what the steps up to `step` have made."""
        names = list(self.recipe.file.steps)
        later = set(names[names.index(step) + 1:]) if step else set()
        return self.options.model_copy(update={
            'rows': {title: who for title, who in self.options.rows.items() if who not in later},
            'domains': {title: pair for title, pair in self.options.domains.items() if not later & set(pair.values())}})

    # ----------------------------------------------------------------------------------------------------- measuring

    def _run(self, system: str, step: str, folder: Path) -> Run:
        recipe, run = self.recipe, Run(system, self.recipe.file.scale)
        if system not in REFERENCES:
            opt = recipe.compose(step)
            run.seed, run.network, run.images_g = opt['manual_seed'], opt['network_g'], recipe.images(step)
            run.images_r = recipe.recognizer_images(step)
            run.weights_sha256 = file_hash(recipe.weights_of(step, 'g'), 64)
        for test in self.tests:
            embedded = self._embed(test, step, self.options.recognizers)
            test.measure(run, embedded, folder)
            run.measured[test.name].numbers |= _restoration(embedded)
        return run

    def _embed(self, test: OpenTestSet, step: str, recognizers: dict[str, str]) -> Embedded:
        """What a step's generator ('HR', 'Bicubic') makes of a test set, by recognizers: name -> step or file."""
        known = self._embedded.get((test.name, step))
        missing = [who for who in recognizers.values() if known is None or who not in known.features]
        if missing or known is None:
            system: str | nn.Module = step if step in REFERENCES else build_network_from_file(
                self.recipe.weights_of(step, 'g'))
            new = test.embed(system, {who: self._recognizer(who).network for who in missing})
            known = new if known is None else known._replace(features=known.features | new.features)
            self._embedded[test.name, step] = known
        return known._replace(features={name: known.features[who] for name, who in recognizers.items()})

    def _recognizer(self, who: str) -> Recognizer:
        """The recognizer of a step or of a file."""
        if who not in self._recognizers:
            self._recognizers[who] = Recognizer.load(self.recipe.weights_of(who, 'r'))
        return self._recognizers[who]

    def _distances(self, generator: str, recognizer: str) -> dict[str, float]:
        """Mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C) on the first test set (paper, section 3.4).

        C is the nearest by the first recognizer.
        """
        def features(step: str, who: str) -> Features:
            return self._embed(self.tests[0], step, {who: who}).features[who]
        compare_by = next(iter(self.options.recognizers.values()))
        compare = build_compare_index(features('HR', compare_by), self.tests[0].faces.labels, 1)[:, 0]
        return dict(identity_distances(features(generator, recognizer), features('HR', recognizer), compare))

    # --------------------------------------------------------------------------------------------------------- facts

    def _facts(self, runs: list[Run], domains: dict[str, dict[str, float]]) -> Facts:
        recipe, folder = self.recipe, self.recipe.train_folder
        keys, labels = read_identities(folder)
        data = [DataSet(recipe.data.name or 'train', 'train', manifest_hash(folder), len(np.unique(labels)), len(keys)),
                *(test.data_set() for test in self.tests)]
        notes = [note for test in self.tests for note in test.notes()]
        hashes = {name: self._recognizer(who).sha256 for name, who in self.options.recognizers.items()}
        return facts_of_this_run(
            data, hashes, describe_device(), seeds=sorted({run.seed for run in runs if run.seed is not None}),
            options=recipe.file.model_dump(exclude_none=True),
            notes=[*self.options.notes, *notes, *collapse_notes(domains)])


def _restoration(embedded: Embedded) -> dict[str, float]:
    """PSNR and SSIM averaged by torch, as in all recipes' tables so far; NumPy's sum differs in the last bit."""
    if embedded.psnr is None:
        return {}
    both = torch.from_numpy(np.stack([embedded.psnr, embedded.ssim], axis=1))
    return {'psnr': both[:, 0].mean().item(), 'ssim': both[:, 1].mean().item()}


def collapse_notes(domains: dict[str, dict[str, float]]) -> list[str]:
    """A line for each stage whose recognizer gives all faces one feature: what it led says nothing."""
    return [f'**{title}: the recognizer has collapsed** (it gives all faces the same feature), so what was trained '
            'with it says nothing about the method. Lower its learning rate.'
            for title, values in domains.items() if values['hr_compare'] < _COLLAPSED]
