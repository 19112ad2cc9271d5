"""dlib's recognizer as the second one, and a judge that led a loss."""

import json
from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import named_recognizer
from cface_basicsr.measuring.default_judge import check_judge, default_judge


def folder(path: Path, crop: str | None) -> Path:
    path.mkdir()
    if crop:
        (path / 'manifest.json').write_text(json.dumps({'settings': {'crop': crop}}))
    return path


def test_where_one_recognizer_is_named_and_faces_are_or_can_be_aligned_dlib_is_the_judge(tmp_path: Path) -> None:
    aligned = folder(tmp_path / 'aligned', 'align')
    assert default_judge({'loss': 'r.onnx'}, [aligned]) == ({'judge': 'dlib'}, [])
    assert default_judge({'loss': 'r.onnx'}, [folder(tmp_path / 'centre', 'center')]) == ({'judge': 'dlib'}, [])
    assert default_judge({'judge': 'r.onnx'}, [aligned]) == ({'dlib': 'dlib'}, [])


def test_a_judge_that_a_user_has_chosen_stays_the_only_one(tmp_path: Path) -> None:
    aligned = folder(tmp_path / 'aligned', 'align')
    for named in ({'loss': 'r.onnx', 'other': 'o.pth'}, {'loss': 'dlib'}, {'loss': str(named_recognizer('dlib'))}, {}):
        assert default_judge(named, [aligned]) == ({}, [])


@pytest.mark.parametrize('crop', ['box', 'resize', 'none', None])
def test_elsewhere_a_note_says_that_the_judge_is_not_applicable(tmp_path: Path, crop: str | None) -> None:
    folders = [folder(tmp_path / 'aligned', 'align'), folder(tmp_path / 'other', crop)]
    added, (note,) = default_judge({'loss': 'r.onnx'}, folders)
    assert added == {}
    assert note.startswith(f"Judge not applicable: 'other' has faces of --crop {crop or 'unknown'}")


def test_a_judge_that_led_a_loss_is_refused_where_that_is_asked_for() -> None:
    for led, recognizers in (({'loss': ['v1'], 'copy': ['v1']}, ['loss', 'copy']), ({'loss': ['v1']}, ['loss'])):
        check_judge(led, recognizers, strict=False)
        with pytest.raises(UserError, match=rf"--strict: recognizer '{recognizers[-1]}' led a loss of v1, so it is not "
                                            'a judge. Name another one, for example dlib'):
            check_judge(led, recognizers, strict=True)
    check_judge({'loss': ['v1']}, ['loss', 'dlib'], strict=True)
    check_judge({'loss': ['v1']}, ['judge', 'loss'], strict=True)  # in whatever order
    check_judge({'loss': ['v1'], 'second': ['v1']}, ['loss', 'second', 'dlib'], strict=True)
    with pytest.raises(UserError, match="recognizer 'judge' led a loss of v1"):
        check_judge({'loss': ['v1'], 'judge': ['v1']}, ['loss', 'judge', 'dlib'], strict=True)
    check_judge({}, ['dlib'], strict=True)
