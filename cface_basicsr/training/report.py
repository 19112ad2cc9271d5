"""The report of a recipe: its rows measured on identities that were not trained on, as `Results`.

Both sides of each pair are super-resolved; HR and Bicubic are always there. A run is measured more than once (after
stage 1, at its end, and for the domain distances); each feature is made once.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cface_basicsr.data.compare_index import build_compare_index
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.evaluation.face_systems import Embedded, identity_distances
from cface_basicsr.evaluation.perceptual import perceptual_distances
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import file_hash, manifest_hash
from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.files.recognizer_file import named_recognizer, recognizer_marks
from cface_basicsr.measuring.held_out import OpenTestSet, Recognizer
from cface_basicsr.measuring.measure import check_stores
from cface_basicsr.measuring.protocols import protocols_of
from cface_basicsr.measuring.request import TestSet
from cface_basicsr.measuring.results import REFERENCES, DataSet, Faces, Facts, Results, Run, facts_of_this_run
from cface_basicsr.runtime import Progress, describe_device
from cface_basicsr.training.recipe import Recipe, ReportOptions

_COLLAPSED = 1e-3
"""A mean distance between photos of different faces below this: the recognizer gives every face one feature."""


def check_report(recipe: Recipe) -> None:
    """Look for what the report of a recipe will need and no step makes, before anything is trained.

    Raises:
        UserError: as `RecipeReport`; or the file of a recognizer or of a perceptual distance is missing.
    """
    for name, who in recipe.file.report.recognizers.items():
        if who not in recipe.file.steps:
            check_file(named_recognizer(who), 'Expected a .pth or .onnx file.', f"report, recognizer '{name}':")
    perceptual_distances(recipe.file.report.perceptual)
    for name, test in recipe.file.report.tests.items():
        folder = _folder_of(test, recipe)
        check_stores(folder, recipe.file.scale)
        protocols_of(test, *read_identities(folder), f'report.tests.{name}')


class RecipeReport:
    """Measures the rows of a recipe whose steps have been run."""

    def __init__(self, recipe: Recipe) -> None:
        """
        Raises:
            UserError: a test set is missing, does not fit its lists, or has identities that were trained on.
        """
        self.recipe, self.options = recipe, recipe.file.report
        self._loaded: dict[str, Recognizer] = {}
        self._embedded: dict[tuple[str, str], Embedded] = {}
        recognizers = {name: self._recognizer(who) for name, who in self.options.recognizers.items()}
        looks = perceptual_distances(self.options.perceptual)
        self.tests = [OpenTestSet(name, test, _folder_of(test, recipe), recipe.file.scale, recognizers, looks)
                      for name, test in self.options.tests.items()]

    def results(self, show: Progress, after: str | None = None) -> tuple[Results, Path]:
        """Measure the rows; what was measured before is not measured again.

        Args:
            after: only the rows that exist after this step, for `<run>/after_<step>/`; None: all.

        Returns:
            the results, and the folder where their paths begin.
        """
        recipe, options = self.recipe, self._options_after(after)
        title, folder = f'report after {after}' if after else 'report', recipe.out / (f'after_{after}' if after else '')
        show.start(title, len(options.rows) + 2)
        runs = []
        for system, step in (*zip(REFERENCES, REFERENCES, strict=True), *options.rows.items()):
            runs.append(self._run(system, step, folder))
            show.advance(len(runs))
        domains = {name: self._distances(**pair) for name, pair in options.domains.items()}
        files = {name: recipe.weights_of(who, 'r') for name, who in options.recognizers.items()}
        facts = facts_of_training(recipe, self.tests, [*options.notes, *collapse_notes(domains)],
                                  seeds=sorted({run.seed for run in runs if run.seed is not None}),
                                  options=recipe.file.model_dump(exclude_none=True),
                                  led=led_rows(recipe, options.rows, files))
        faces = [test.save_low(Faces(test.name, []), folder) for test in self.tests if test.shown]
        show.end(title, str(folder / 'report.md'))
        systems = [run.system for run in runs]
        return Results('train', recipe.file.name, facts, systems, [recipe.file.scale], runs, faces, domains), folder

    def _options_after(self, step: str | None) -> ReportOptions:
        """The report's options with only what the steps up to `step` have made."""
        names = list(self.recipe.file.steps)
        later = set(names[names.index(step) + 1:]) if step else set()
        return self.options.model_copy(update={
            'rows': {title: who for title, who in self.options.rows.items() if who not in later},
            'domains': {title: pair for title, pair in self.options.domains.items() if not later & set(pair.values())}})

    def _run(self, system: str, step: str, folder: Path) -> Run:
        run = Run(system, self.recipe.file.scale) if step in REFERENCES else row_of(self.recipe, system, step)
        if step not in REFERENCES:
            run.weights_sha256 = file_hash(self.recipe.weights_of(step, 'g'), 64)
        for test in self.tests:
            embedded = self._embed(test, step, *self.options.recognizers.values())
            named = {name: embedded.features[who] for name, who in self.options.recognizers.items()}
            test.measure(run, embedded._replace(features=named), folder)
            run.measured[test.name].numbers |= _restoration(embedded)
        return run

    def _embed(self, test: OpenTestSet, step: str, *recognizers: str) -> Embedded:
        """What a step's generator ('HR', 'Bicubic') makes of a test set, by recognizers: steps or files."""
        known = self._embedded.get((test.name, step))
        missing = [who for who in recognizers if known is None or who not in known.features]
        if missing:
            system: str | nn.Module = step if step in REFERENCES else build_network_from_file(
                self.recipe.weights_of(step, 'g'))
            new = test.embed(system, {who: self._recognizer(who).network for who in missing})
            known = new if known is None else known._replace(features=known.features | new.features)
            self._embedded[test.name, step] = known
        return known

    def _recognizer(self, who: str) -> Recognizer:
        """The recognizer of a step or of a file."""
        if who not in self._loaded:
            self._loaded[who] = Recognizer.load(self.recipe.weights_of(who, 'r'))
        return self._loaded[who]

    def _distances(self, generator: str, recognizer: str) -> dict[str, float]:
        """Mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C) on the first test set (paper, section 3.4).

        C is the nearest by the first recognizer.
        """
        test, compare_by = self.tests[0], next(iter(self.options.recognizers.values()))
        hr = self._embed(test, 'HR', compare_by, recognizer).features
        compare = build_compare_index(hr[compare_by], test.faces.labels, 1)[:, 0]
        sr = self._embed(test, generator, recognizer).features[recognizer]
        return identity_distances(sr, hr[recognizer], compare)


def _folder_of(test: TestSet, recipe: Recipe) -> Path:
    """The folder of a test set; where it names none, the held-out part of the recipe's data.

    Raises:
        UserError: that part is missing, or shares identities with the part that is trained on.
    """
    if test.data:
        return Path(test.data)
    if not (recipe.test_folder / 'hr.lmdb').is_dir():
        raise UserError(f"'{recipe.test_folder}' is missing: the report needs identities that were not trained on.\n"
                        'Make them: cface prepare … --holdout N --seed S')
    train, test = ({key.split('/')[0] for key in read_identities(folder)[0]}
                   for folder in (recipe.train_folder, recipe.test_folder))
    if train & test:
        raise UserError(f"training and test folder of '{recipe.data}' share {len(train & test)} identities, for "
                        f"example '{min(train & test)}'. Make them again with --holdout.")
    return recipe.test_folder


def row_of(recipe: Recipe, title: str, step: str) -> Run:
    """What is known of a row without measuring: the step's network, seed and images, with all steps before it."""
    opt = recipe.compose(step)
    return Run(title, recipe.file.scale, opt['manual_seed'], network=opt['network_g'], images_g=recipe.images(step),
               images_r=recipe.recognizer_images(step))


def led_rows(recipe: Recipe, rows: Mapping[str, str], recognizers: Mapping[str, str | Path],
             others: Sequence[Recipe] = ()) -> dict[str, list[str]]:
    """Name of a recognizer that measures -> the rows of which it led a loss.

    So did one under another name, one that was fine-tuned from it, and one that it was fine-tuned from.

    Args:
        rows: title -> the step that trained its generator.
        recognizers: name -> file.
        others: recipes that train recognizers, too.
    """
    @cache
    def marks(file: str | Path) -> set[str]:
        files = {str(named_recognizer(file).absolute())}
        for each in (recipe, *others):
            files |= {origin for known in tuple(files) for origin in each.origins(known)}
        return {mark for each in files for mark in (recognizer_marks(each) if Path(each).is_file() else {each})}

    leaders = {title: {mark for file in recipe.leaders(step) for mark in marks(file)} for title, step in rows.items()}
    found = {name: [title for title, led_by in leaders.items() if not own.isdisjoint(led_by)]
             for name, own in ((name, marks(file)) for name, file in recognizers.items())}
    return {name: titles for name, titles in found.items() if titles}


def facts_of_training(recipe: Recipe, tests: Sequence[OpenTestSet], notes: Sequence[str], **more: Any) -> Facts:
    """The facts of rows that were trained on a recipe's data and measured on test sets; see `facts_of_this_run`."""
    keys, labels = read_identities(recipe.train_folder)
    train = DataSet(recipe.data.name or 'train', 'train', manifest_hash(recipe.train_folder), len(np.unique(labels)),
                    len(keys))
    hashes = {name: recognizer.sha256 for name, recognizer in tests[0].recognizers.items()}
    notes = [*notes, *(note for test in tests for note in test.notes())]
    data = [train, *(test.data_set() for test in tests)]
    if tests[0].looks:
        more['options'] |= {'perceptual': {kind: look.facts for kind, look in tests[0].looks.items()}}
    return facts_of_this_run(data, hashes, describe_device(), notes=notes, **more)


def _restoration(embedded: Embedded) -> dict[str, float]:
    """PSNR and SSIM averaged by torch, as in all recipes' tables so far; NumPy's sum differs in the last bit."""
    if embedded.psnr is None:
        return {}
    both = torch.from_numpy(np.stack([embedded.psnr, embedded.ssim], axis=1))
    return {'psnr': both[:, 0].mean().item(), 'ssim': both[:, 1].mean().item()}


def collapse_notes(domains: dict[str, dict[str, float]]) -> list[str]:
    """One line per stage whose recognizer gives all faces the same feature: what it trained says nothing."""
    return [f'**{title}: the recognizer has collapsed** (it gives all faces the same feature), so what was trained '
            'with it says nothing about the method. Lower its learning rate.'
            for title, values in domains.items() if values['hr_compare'] < _COLLAPSED]
