"""The table of defects as a whole."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cface_basicsr import compat
from cface_basicsr.compat.defect import Defect, Patches, places, source
from cface_basicsr.errors import UserError
from tests.compat.tiny_training import patched


def test_each_row_has_a_test_that_fails_without_it() -> None:
    tested = {name for path in Path(__file__).parent.glob('test_*.py')
              for name in re.findall(r"holds_by_row\(\w+, '([a-z-]+)'", path.read_text())}
    assert tested == {row.name for row in compat.ROWS}


def test_a_row_says_where_the_defect_is_what_one_sees_and_where_it_was_reported() -> None:
    for row in compat.ROWS:
        assert row.target and row.symptom and row.upstream
        assert set(row.requires) <= {each.name for each in compat.ROWS}


def test_each_row_looks_at_and_patches_what_basicsr_has() -> None:
    for row in compat.ROWS:
        targets = [row.target, *row.replace, *(() if callable(row.wrap) else row.wrap)]
        for target in targets:
            assert places(target) and all(hasattr(owner, name) for owner, name in places(target)), target
        if row.has or row.unless:
            assert all(source(getattr(owner, name)) for owner, name in places(row.target)), row.name


def shout(call: Callable[..., str], *words: str, ending: str) -> str:
    return call(*words, ending=ending).upper()


@pytest.fixture
def speech(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that can be imported, with one class."""
    module = ModuleType('speech')
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'speech', module)
        module.Speaker = type('Speaker', (), {'say': lambda self, *words, ending: ' '.join(words) + ending})
        yield module


def test_a_wrapper_runs_around_the_function_of_every_instance_until_it_is_undone(speech: ModuleType) -> None:
    speaker, patches = speech.Speaker(), Patches()
    row = Defect('loud', 'speech:Speaker.say', 'nobody hears it', 'not reported', wrap=shout)
    assert row.present() and speaker.say('how', 'quiet', ending='.') == 'how quiet.'
    row.apply(patches)
    assert speaker.say('how', 'loud', ending='!') == 'HOW LOUD!'
    patches.undo()
    assert speaker.say('how', 'quiet', ending='.') == 'how quiet.'


def test_a_name_of_the_training_program_is_patched_in_every_program_that_has_it(
        monkeypatch: pytest.MonkeyPatch) -> None:
    import basicsr.test
    import basicsr.train
    main = ModuleType('__main__')
    main.train_pipeline, main.make_exp_dirs = None, basicsr.train.make_exp_dirs
    monkeypatch.setitem(sys.modules, '__main__', main)
    patches, programs = Patches(), (basicsr.train, basicsr.test, main)
    before = [program.make_exp_dirs for program in programs]
    patches.replace('basicsr.train:make_exp_dirs', len)
    assert [program.make_exp_dirs for program in programs] == [len, len, len]
    patches.undo()
    assert [program.make_exp_dirs for program in programs] == before
    patches.replace('basicsr.train:load_resume_state', len)  # which basicsr.test does not know
    assert not hasattr(basicsr.test, 'load_resume_state') and not hasattr(main, 'load_resume_state')
    patches.undo()


@pytest.mark.parametrize(('marks', 'found'), [
    ({}, True), ({'has': 'return'}, True), ({'has': 'yield'}, False), ({'unless': 'yield'}, True),
    ({'unless': 'return'}, False), ({'has': 'return', 'condition': lambda: False}, False)])
def test_a_defect_is_known_by_words_in_the_source(marks: dict[str, Any], found: bool) -> None:
    assert Defect('r', 'fnmatch:fnmatchcase', 'symptom', 'not reported', **marks).present() is found


def test_patching_twice_is_patching_once_and_undo_leaves_basicsr_as_it_was() -> None:
    from basicsr.models.base_model import BaseModel
    compat.undo()
    before = dict(vars(BaseModel))
    with patched():
        once = dict(vars(BaseModel))
        compat.apply()
        assert dict(vars(BaseModel)) == once != before
        compat.undo()
        assert dict(vars(BaseModel)) == before


def test_a_row_left_out_takes_those_along_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CFACE_COMPAT_WITHOUT', 'epoch-order')
    with patched():
        assert not {'epoch-order', 'item-seeds', 'mid-epoch', 'exact-iterations'} & set(compat.applied())
        assert 'ema-buffers' in compat.applied()
        monkeypatch.delenv('CFACE_COMPAT_WITHOUT')


def test_a_misspelt_row_is_named_with_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    compat.undo()
    monkeypatch.setenv('CFACE_COMPAT_WITHOUT', 'mid-epok')
    with pytest.raises(UserError, match="'mid-epok'.*did you mean 'mid-epoch'"):
        compat.apply()
    monkeypatch.delenv('CFACE_COMPAT_WITHOUT')
    compat.apply()
