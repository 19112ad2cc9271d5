"""The commands at the head of paper.yml make what the file names."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.cli.main import app
from cface_basicsr.evaluation.pairs_file import read_pairs
from cface_basicsr.files.identities import read_identities
from cface_basicsr.measuring.measure import check_stores
from tests.data.layouts.test_celeba import aligned_images, text_files
from tests.data.layouts.test_lfw import PAIRS, images
from tests.noise_photos import write_photo
from tests.tiny_stages import REPOSITORY

PAPER = REPOSITORY / 'options/benchmark/paper.yml'


def test_what_its_commands_prepare_is_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for person in ('0000001', '0000002'):
        write_photo(tmp_path / 'CASIA-WebFace' / person / '001.png', 250, 250)
    for path in images(tmp_path / 'lfw').rglob('*.png'):
        write_photo(path, 250, 250)
    (tmp_path / 'lfw/pairs.txt').write_text(PAIRS.replace('\t3\n', '\t2\n'), encoding='utf-8')
    text_files(tmp_path / 'CelebA/Anno', tmp_path / 'CelebA/Eval')
    aligned_images(tmp_path / 'CelebA/Img/img_align_celeba')
    commands = re.findall(r'^#   cface (prepare .*?)(?:  .*)?$', PAPER.read_text(encoding='utf-8'), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command))
        assert done.exit_code == 0, done.output + repr(done.exception)
    file = read_benchmark(PAPER)
    for scale in file.scales:
        check_stores(Path(file.data), scale)
        for test in file.tests.values():
            check_stores(Path(test.data), scale)
    pairs = read_pairs(file.tests['LFW'].pairs, read_identities(Path('datasets/lfw'))[0])
    assert sorted(pairs.same.tolist()) == [False, False, True, True]
