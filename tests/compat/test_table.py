"""The table of defects as a whole."""

import re
from pathlib import Path

import pytest

from cface_basicsr import compat
from cface_basicsr.errors import UserError
from tests.compat.tiny_training import mended


def test_each_row_has_a_test_that_fails_without_it() -> None:
    tested = {name for path in Path(__file__).parent.glob('test_*.py')
              for name in re.findall(r"holds_by_row\(\w+, '([a-z-]+)'", path.read_text())}
    assert tested == {row.name for row in compat.ROWS}


def test_a_row_says_where_the_defect_is_what_one_sees_and_where_it_was_reported() -> None:
    for row in compat.ROWS:
        assert row.where and row.symptom and row.upstream
        assert set(row.requires) <= {each.name for each in compat.ROWS}


def test_mending_twice_is_mending_once_and_undo_leaves_basicsr_as_it_was() -> None:
    from basicsr.models.base_model import BaseModel
    compat.undo()
    before = dict(vars(BaseModel))
    with mended():
        once = dict(vars(BaseModel))
        compat.apply()
        assert dict(vars(BaseModel)) == once != before
        compat.undo()
        assert dict(vars(BaseModel)) == before


def test_a_row_left_out_takes_those_along_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CFACE_COMPAT_WITHOUT', 'epoch-order')
    with mended():
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
