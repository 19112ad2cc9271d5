"""Requests that contradict themselves are refused before any file is opened."""

from pathlib import Path
from typing import Any

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.request import PROTOCOLS, Request, check

R, F = {'recognizers': {'R': 'r.pth'}}, {'features': {'X': Path('x.npy')}}


def request(protocol: str = 'pairs', **settings: Any) -> Request:
    return Request(protocol=protocol, data=Path('nowhere'), **settings)


@pytest.mark.parametrize(('settings', 'message'), [
    ({'protocol': 'pair', **R}, "got 'pair'; did you mean 'pairs'"),
    ({}, 'give --recognizer'),
    ({**R, **F}, 'leave out --recognizer'),
    ({**F, 'sides': 'one'}, 'leave out'), ({**F, 'scale': 8}, 'leave out'), ({**F, 'flip': True}, 'leave out'),
    ({'protocol': 'blufr', **R}, 'blufr needs --config'),
    ({'protocol': 'blufr', **R, 'config': Path('c.mat'), 'sides': 'one'}, "'blufr' has none. Expected both or lr"),
    ({'protocol': 'identification', **R, 'sides': 'one'}, "'identification' has none"),
    ({'protocol': 'identification', **R, 'curves': True}, "'identification' has no ROC curve"),
    ({'protocol': 'lfw', **R, 'config': Path('c.mat')}, "--config belongs to the protocol 'blufr'"),
    ({**R, 'pairs': Path('pairs.txt')}, "--pairs belongs to the protocol 'lfw'"),
    ({**R, 'sides': 'lr', 'weights': {'X': Path('x.pth')}}, '--sides lr uses no network'),
    ({**R, 'sides': 'two'}, "got 'two'"), ({**R, 'color': 'rgba'}, "got 'rgba'"),
])
def test_a_contradiction_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(request(**settings))


def test_every_protocol_has_a_request_that_is_fine() -> None:
    for name in PROTOCOLS:
        check(request(name, **R, config=Path('c.mat') if name == 'blufr' else None))
        check(request(name, **F))


def test_only_lfw_joins_mirror_images_unless_asked() -> None:
    assert {name for name in PROTOCOLS if request(name, **R).flips} == {'lfw'}
    assert request(flip=True).flips and not request('lfw', flip=False).flips
