"""Which settings go together, and which do not."""

from pathlib import Path
from typing import Any

import pytest

from cface_basicsr.data.layouts.listing import _LISTERS
from cface_basicsr.data.layouts.settings import LAYOUTS, PrepareSettings
from cface_basicsr.data.layouts.source import FolderPhotos, Listing
from cface_basicsr.errors import UserError


def test_each_layout_has_its_function() -> None:
    assert set(_LISTERS) == set(LAYOUTS)


@pytest.mark.parametrize(('values', 'message'), [
    ({'layout': 'lfv'}, "--layout 'lfv' is unknown; did you mean 'lfw'"),
    ({'layout': 'celeba', 'partition': 'tets'}, "did you mean 'test'"),
    ({'pairs': Path('p')}, '--pairs belongs to --layout lfw, got --layout casia'),
    ({'layout': 'lfw', 'partition': 'test'}, '--partition belongs to --layout celeba or tinyface'),
    ({'crop': 'resize'}, '--crop resize, --layout casia: native low-resolution faces'),
    ({'layout': 'tinyface'}, '--crop center, --layout tinyface: .* take --crop resize, align or none'),
    ({'identity': 'last'}, '--identity belongs to --layout folders'),
    ({'crop': 'box'}, '--crop box needs the boxes of --layout celeba'),
    ({'layout': 'lfw', 'pairs': Path('p'), 'holdout': 3}, '--holdout divides'),
    ({'size': (112, 96), 'scales': (5,)}, 'that divide the HR size 112x96, got 5'),
    ({'size': (112, 8)}, '--size: expected 16'),
    ({'crop': 'align'}, '--crop align needs --template: arcface or sphereface'),
    ({'crop': 'align', 'template': 'arcface', 'weights': Path('w'), 'landmarks': Path('l')}, 'name only one of'),
    ({'landmarks': Path('l'), 'template': 'arcface'}, '--template, --landmarks belong to --crop align'),
    ({'crop': 'align', 'template': 'arcfase', 'landmarks': Path('l')}, "did you mean 'arcface'")])
def test_contradictions_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PrepareSettings(**({'scales': (2,)} | values)).check()


@pytest.mark.parametrize('values', [
    {'size': (112, 96), 'scales': (2, 4, 8)}, {'layout': 'celeba', 'crop': 'align', 'template': 'sphereface'},
    {'layout': 'tinyface', 'crop': 'resize', 'partition': 'train'}, {'layout': 'scface', 'crop': 'none'},
    {'layout': 'celeba', 'crop': 'box', 'partition': 'all'}, {'crop': 'align', 'template': 'arcface',
                                                              'landmarks': Path('l')}])
def test_settings_that_go_together_are_accepted(values: dict[str, Any]) -> None:
    PrepareSettings(**({'scales': (2,)} | values)).check()


def test_a_folder_made_before_there_were_layouts_still_matches() -> None:
    """Its manifest lacks the newer settings, so their values must all be None when they are not used."""
    older = {'scales', 'crop', 'size', 'layout', 'template', 'holdout', 'seed', 'source_sha256', 'detector_sha256'}
    signature = PrepareSettings(scales=(2,)).signature(Listing(FolderPhotos(Path('.')), digest='d'))
    assert older <= signature.keys() and signature['scales'] == [2] and signature['size'] == 128
    assert {signature[name] for name in signature.keys() - older} == {None}
