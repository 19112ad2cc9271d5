"""What commands say holds nothing that controls a terminal, whatever files and people are called."""

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.cli.show import ShowSteps, Terminal, say, say_json
from cface_basicsr.errors import visible
from tests.tiny_stages import _write_network, write_recognizer

HOSTILE = 'a\x1b[2J\x9b1m\r\b\u202e\x85b'
GENERATOR = {'type': 'SRResNet', 'scale': 8, 'num_feat': 2, 'num_block': 1}


def said(words: list[str]) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code in (0, 1), done.output
    assert all(each.isprintable() or each in '\n\t' for each in done.output), ascii(done.output)
    return done.output


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hostile folder with prepared faces of hostile people, a recognizer and a generator."""
    folder = tmp_path_factory.mktemp('said') / HOSTILE
    folder.mkdir()
    faces, data = folder / 'faces', folder / 'data'
    assert visible(HOSTILE) in said(['synth', '-n', '4', '-m', '3', '--size', '128', '--out', str(faces)])
    for person in sorted(faces.iterdir()):
        if person.is_dir():
            person.rename(faces / f'{HOSTILE}{person.name}')
    said(['prepare', '--layout', 'casia', str(faces), '--out', str(data), '--scale', '8', '--crop', 'center',
          '--holdout', '2', '--workers', '1'])
    write_recognizer(folder / 'net_r.pth')
    _write_network(folder / 'net_g.pth', 0, GENERATOR)
    return folder


COMMANDS = '''
index {}/data/train --recognizer {}/net_r.pth --k 1
features {}/data/test --recognizer {}/net_r.pth --out {}/f.npy
generate {}/data/train --weights {}/net_g.pth
unpack {}/data/test/hr.lmdb --out {}/unpacked
prepare --layout casia {}/faces --out {}/again --scale 8 --crop center
enhance {}/faces --weights {}/net_g.pth --faces crop --out {}/enhanced
export {}/net_g.pth --out {}/g.safetensors --format safetensors
sheet {}/data/test --out {}/sheet.png
audit {}/data/train {}/data/test
options copy {}/options
options show {}/x.yml
'''


@pytest.mark.parametrize('words', COMMANDS.strip().splitlines())
def test_a_name_that_would_control_a_terminal_is_written_as_an_escape(folder: Path, words: str) -> None:
    (folder / 'x.yml').write_text('name: a  # \t\n')
    output = said([word.format(folder) for word in words.split()])
    assert visible(HOSTILE) in output or words.split()[0] in ('audit', 'options')


def test_a_result_keeps_its_tabs_and_what_the_encoding_lacks_is_escaped(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    say(f'a\tb {HOSTILE} \udcff é')
    say_json({HOSTILE: '\udcff é'})
    out = capsys.readouterr().out
    first, _, rest = out.partition('\n')
    assert first == f'a\tb {visible(HOSTILE)} \\udcff é'
    assert json.loads(rest) == {HOSTILE: '\udcff é'} and rest.isascii()
    raw = io.BytesIO()
    monkeypatch.setattr('sys.stdout', io.TextIOWrapper(raw, 'ascii', write_through=True))
    say('é \udcff')
    assert raw.getvalue() == b'\\xe9 \\udcff\n'


def test_the_time_left_of_a_resumed_step_counts_from_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr('time.time', lambda: now[0])
    file = io.StringIO()
    with ShowSteps(1, Terminal(file=file, width=200), every=5.0) as show:
        show.start('a', 200)
        for seconds, done in ((10, 100), (30, 110), (50, 120)):  # two seconds for each
            now[0] = 1000.0 + seconds
            show.advance(done)
    assert file.getvalue().rstrip().splitlines() == [
        '    a: 100 of 200', '    a: 110 of 200, about 3 min left', '    a: 120 of 200, about 3 min left']


def test_tables_and_steps_are_cleaned_too() -> None:
    from rich.table import Table
    file = io.StringIO()
    terminal = Terminal(file=file, width=200)
    table = Table('name')
    table.add_row(HOSTILE)
    terminal.print(table, HOSTILE)
    with ShowSteps(1, terminal) as show:
        show.start(HOSTILE, 3)
        show.advance(1, HOSTILE)
        show.end(HOSTILE, HOSTILE)
    assert file.getvalue().count(visible(HOSTILE)) == 4
    assert all(each.isprintable() or each == '\n' for each in file.getvalue())
