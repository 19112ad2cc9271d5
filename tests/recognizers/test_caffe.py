"""Weights come out of a .caffemodel as they went in, from today's files and from those of before 2015."""

from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.recognizers.sphereface20 import read_caffe_blobs
from tests.caffe_file import write_caffemodel

RANDOM = np.random.default_rng(0)
LAYERS = {'conv': [RANDOM.normal(size=(4, 3, 3, 3)), RANDOM.normal(size=4)], 'slope': [RANDOM.normal(size=200)],
          'dense': [RANDOM.normal(size=(2, 300))]}


@pytest.mark.parametrize('blob', ['new', 'double', 'old'])
def test_each_layers_blobs_come_out_in_order(tmp_path: Path, blob: str) -> None:
    read = read_caffe_blobs(write_caffemodel(tmp_path / 'net.caffemodel', LAYERS, blob))
    assert list(read) == list(LAYERS)
    for name, blobs in LAYERS.items():
        for came, went in zip(read[name], blobs, strict=True):
            assert tuple(came.shape) == went.shape
            np.testing.assert_array_equal(came.numpy(), went.astype(np.float32))


@pytest.mark.parametrize('keep', [-1, 1000, 5])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, keep: int) -> None:
    path = write_caffemodel(tmp_path / 'cut.caffemodel', LAYERS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match='cut.caffemodel. cannot be read as a Caffe network'):
        read_caffe_blobs(path)


def test_a_blob_with_fewer_numbers_than_it_announces_is_named_by_its_layer(tmp_path: Path) -> None:
    path = write_caffemodel(tmp_path / 'net.caffemodel', {'conv7': [np.ones((2, 3))]})
    path.write_bytes(path.read_bytes().replace(bytes([2, 3]), bytes([2, 4])))
    with pytest.raises(UserError, match="layer 'conv7' declares 2x4 numbers and has 6"):
        read_caffe_blobs(path)


def test_a_file_without_weights_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / 'empty.caffemodel').write_bytes(b'')
    with pytest.raises(UserError, match='holds no layer with weights'):
        read_caffe_blobs(tmp_path / 'empty.caffemodel')
    with pytest.raises(UserError, match='none.caffemodel. is missing'):
        read_caffe_blobs(tmp_path / 'none.caffemodel')
