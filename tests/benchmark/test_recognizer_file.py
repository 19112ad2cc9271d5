"""A recognizer meets faces that were cut in another way: said once, by the manifest that `cface prepare` writes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.benchmark.recognizer_file import crop_note
from cface_basicsr.data.prepare import PrepareSettings, prepare


@pytest.fixture(scope='module')
def centred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder made with --crop center."""
    folder = tmp_path_factory.mktemp('centred')
    (folder / 'photos/0000001').mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (140, 140, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / 'photos/0000001/001.png')
    prepare(folder / 'photos', folder / 'data', PrepareSettings(scales=(8,)))
    return folder / 'data'


@pytest.mark.parametrize(('template', 'fits'), [('center', True), ('arcface', False), ('sphereface', False)])
def test_another_crop_than_the_recognizers_is_named(centred: Path, template: str, fits: bool) -> None:
    network = SphereFace20(input_size=(128, 128), num_feat=2, feature_length=4, template=template)
    note = crop_note(centred, 'CNN_R', network)
    assert (note is None) == fits
    assert fits or ('--crop center' in note and f"CNN_R learnt '{template}'" in note)


def test_without_a_manifest_nothing_is_said(tmp_path: Path) -> None:
    assert crop_note(tmp_path, 'CNN_R', SphereFace20(num_feat=2, feature_length=4, template='arcface')) is None
