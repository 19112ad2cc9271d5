"""The public names: which there are, that each has an example, and that the examples hold."""

import doctest
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cface_basicsr as cface
from tests.test_docs import maker
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
