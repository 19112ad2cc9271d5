"""The public names: which there are, that each has an example, and that the examples hold."""

import doctest
import importlib
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cface_basicsr as cface
from cface_basicsr.data.generated_faces import render_face
from tests.small_data import write_small_data
from tests.test_docs import PAGES, maker, text_of
from tests.tiny_stages import write_recognizer
from tests.zoo.made_up_networks import write_generator

NAMES = dict(maker('make_api').public_names())


def test_the_names_that_others_rely_on_are_these() -> None:
    """A name goes, or changes its meaning, only with a new version and a line in the changelog."""
    assert sorted(cface.__all__) == ['CFaceLoss', 'PhotoSettings', 'SuperResolver', 'UserError', '__version__',
                                     'cface_loss', 'load', 'metrics', 'protocols', 'recognizer']
    assert sorted(cface.metrics.__all__) == ['IdentitySimilarity', 'LandmarkDistance', 'TarAtFar',
                                             'VerificationAccuracy']
    assert sorted(cface.protocols.__all__) == ['cosine_scores', 'lfw', 'make_pairs', 'tar_at_far']
    assert set(cface.metrics.__all__) <= set(dir(cface.metrics))
    with pytest.raises(AttributeError, match="'cface_basicsr.metrics' has no attribute 'TarAtFr'"):
        cface.metrics.TarAtFr  # noqa: B018


@pytest.mark.parametrize('name', NAMES)
def test_each_public_name_has_an_example_that_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Any = NAMES[name]
    write_generator(tmp_path / 'net_g.pth')
    monkeypatch.chdir(tmp_path)
    given = {**vars(importlib.import_module(found.__module__)), 'torch': torch, 'np': np}
    examples = [each for each in doctest.DocTestFinder(recurse=False).find(found, found.__name__, globs=given)
                if each.examples]
    assert examples
    failed = [doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(each).failed for each in examples]
    assert failed == [0] * len(examples)


def python_of_the_pages() -> Iterator[tuple[str, str]]:
    """The Python examples of the pages, as (page and number, code); lines of a shell among them are dropped.

    Those of CONTRIBUTING.md and docs/api.md, and fenced ones, have tests of their own.
    """
    for page in PAGES:
        if page.name not in ('CONTRIBUTING.md', 'api.md'):
            for number, block in enumerate(re.findall(r'(?:^ {4}.*\n|^\n(?= {4}))+', text_of(page), re.M), 1):
                code = re.sub(r'^cface .*\n', '', textwrap.dedent(block), flags=re.M)
                if re.search(r'^(import|from) \w', code, re.M):
                    yield f'{page.name} {number}', code


BLOCKS = dict(python_of_the_pages())


@pytest.mark.parametrize('block', BLOCKS)
def test_each_block_of_python_in_a_page_runs_as_it_stands(block: str, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """With the files and pictures that the text around it speaks of, by the names that it gives them."""
    write_generator(tmp_path / 'net_g.pth').rename(tmp_path / 'net_g_latest.pth')
    write_recognizer(tmp_path / 'net_r.pth')
    held_out = write_small_data(tmp_path / 'held_out', identities=3, images=4)
    (held_out / 'manifest.json').write_text(json.dumps({'settings': {'crop': 'align'}}))
    monkeypatch.chdir(tmp_path)
    crop = render_face(identity=0, image=0, size=16)
    sr, hr, compare = torch.rand(3, 2, 3, 128, 128)
    given = {'crops': [crop], 'photo': np.pad(crop, ((40, 40), (50, 50), (0, 0)), mode='edge'), 'sr': sr, 'hr': hr,
             'compare': compare}
    exec(BLOCKS[block], given)
    assert 'loss' not in given or given['loss'].item() >= 0
    assert 'faces' not in given or given['faces'][0].shape == (128, 128, 3)
    assert {'evidence', 'loss', 'network', 'resolver', 'build'} & set(given)


def test_there_are_blocks_of_python_in_the_pages() -> None:
    assert len(BLOCKS) >= 7
