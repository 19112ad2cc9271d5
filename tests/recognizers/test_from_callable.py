"""A recognizer by the name of a Python object: what is accepted, and a message for each thing that can be wrong."""

import sys
from pathlib import Path

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import RecognizerInput, recognizer_features
from cface_basicsr.recognizers.load import recognizer_from_callable

MODULE = '''
import torch
from cface_basicsr.ops.recognizer_input import RecognizerInput

EATS = RecognizerInput(height=4, width=3, channels='bgr', mean=0, std=255, template='center')

class Net(torch.nn.Module):
    def __init__(self, shape=(-1, 36)):
        super().__init__()
        self.input_spec, self.shape, self.drop = EATS, shape, torch.nn.Dropout(0.5)
    def forward(self, x):
        return self.drop(x).reshape(self.shape)

def build():
    return Net()

def flat(x):
    return x.flatten(1)
flat.input_spec = EATS

ready = Net()
def odd(): return Net((-1, 2, 18))
def few(): return Net((1, -1))
def whole(x): return x.flatten(1).to(torch.uint8)
whole.input_spec = EATS
def bare(x): return x
def listed(): return [1]
def broken(): raise RuntimeError('no weights here')
def crash(x): raise RuntimeError('no such operator')
crash.input_spec = EATS
def greedy(a, b): return a
class Needy(Net):
    def __init__(self, path): super().__init__()
def wordy():
    net = Net()
    net.input_spec = {'height': 112}
    return net
number = 3
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`made_up.nets` in the working folder."""
    (tmp_path / 'made_up').mkdir()
    (tmp_path / 'made_up/nets.py').write_text(MODULE)
    (tmp_path / 'made_up/needs.py').write_text('import a_library_that_nobody_has')
    (tmp_path / 'made_up/fails.py').write_text('1 / 0')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    for name in [name for name in sys.modules if name.split('.')[0] == 'made_up']:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize('name', ['Net', 'build', 'flat', 'ready'])
def test_a_class_a_factory_a_function_and_a_module_become_recognizers(name: str) -> None:
    network = recognizer_from_callable(f'made_up.nets:{name}')
    assert network.input_spec == RecognizerInput(4, 3, 'bgr', 0, 255, 'center')
    assert network.feature_length == 36 and not network.training
    face = torch.rand(2, 3, 4, 3)
    torch.testing.assert_close(recognizer_features(network, face), face.flip(1).flatten(1))


@pytest.mark.parametrize(('name', 'message'), [
    ('nowhere:Net', "module 'nowhere' is missing"),
    ('made_up.nowhere:Net', "module 'made_up.nowhere' is missing"),
    ('made_up.needs:Net', "module 'made_up.needs' needs 'a_library_that_nobody_has', which is not installed"),
    ('made_up.fails:Net', r"importing 'made_up.fails' fails \(ZeroDivisionError"),
    ('made_up.nets:biuld', "'made_up.nets' has no 'biuld'; did you mean 'build'?"),
    ('made_up.nets:bare', 'has no attribute `input_spec`'),
    ('made_up.nets:wordy', 'has `input_spec` of type dict'),
    ('made_up.nets:listed', 'returned an object of type list, expected a torch module'),
    ('made_up.nets:broken', r'fails when it is called \(RuntimeError: no weights here\)'),
    ('made_up.nets:greedy', r'it needs 2 argument\(s\)'),
    ('made_up.nets:Needy', r'it needs 1 argument\(s\)'),
    ('made_up.nets:number', 'it is of type int'),
    ('made_up.nets:crash', r'expected features \(2, D\) of two faces \(2, 3, 4, 3\); it fails .*no such operator'),
    ('made_up.nets:odd', r'got torch.float32 \(2, 2, 18\)'),
    ('made_up.nets:few', r'got torch.float32 \(1, 72\)'),
    ('made_up.nets:whole', r'got torch.uint8 \(2, 36\)')])
def test_what_is_wrong_is_explained_in_three_lines(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        recognizer_from_callable(name)
    assert name in str(caught.value) and len(str(caught.value).splitlines()) <= 3
