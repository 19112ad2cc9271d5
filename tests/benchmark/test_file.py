"""A benchmark file: what it takes, what it refuses, and files that lie over each other."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cface_basicsr.benchmark.file import chosen_systems, loss_recognizer, read_benchmark
from cface_basicsr.benchmark.systems import SYSTEMS
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.training.recipe import BENCHMARK, RECIPE, STAGE_FILE, check_kind, read_with_base
from tests.tiny_benchmark import tiny_benchmark, write_benchmark
from tests.tiny_stages import REPOSITORY


def kind_by_schema(path: Path) -> str:
    """What a file that comes with the plugin is, by the schema that its first line names."""
    schema = re.search(r'schema/(\w+)\.json', path.read_text(encoding='utf-8'))[1]
    return {'benchmark': BENCHMARK, 'recipe': RECIPE}.get(schema, STAGE_FILE)


@pytest.mark.parametrize('path', sorted((REPOSITORY / 'options').rglob('*.yml')), ids=lambda path: path.stem)
def test_each_file_of_the_plugin_is_refused_as_another_kind_with_the_command_that_runs_it(path: Path) -> None:
    content, kind = read_with_base(path), kind_by_schema(path)
    if 'name' not in content:
        return  # a part that others have as their base
    check_kind(path, content, kind)
    for other in {STAGE_FILE, RECIPE, BENCHMARK} - {kind}:
        with pytest.raises(UserError) as caught:
            check_kind(path, content, other)
        command = 'benchmark' if kind == BENCHMARK else 'train'
        assert str(caught.value) == f"'{path}': expected {other}, got {kind}: `cface {command}` runs it."


@pytest.mark.parametrize(('words', 'got'), [
    (['benchmark', 'demo/faces.yml'], 'got a recipe: `cface train` runs it'),
    (['benchmark', 'cface_stage1.yml'], 'got the option file of one training: `cface train` runs it'),
    (['ablate', 'loss', '--file', 'cface_x8.yml'], 'got a recipe: `cface train` runs it'),
    (['train', 'benchmark/demo.yml'], 'got a benchmark file: `cface benchmark` runs it')], ids=' '.join)
def test_a_command_that_gets_a_file_of_another_kind_names_the_command_for_it(words: list[str], got: str) -> None:
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UserError) and got in str(done.exception)


def refused(folder: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_benchmark(write_benchmark(folder, tiny_benchmark(**changes)))
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'systems': ['EDRS']}, "system 'EDRS' is unknown; did you mean 'EDSR'"),
    ({'scales': [3]}, 'scale 3 is unknown; nearest: 2'),
    ({'recognizers': {'loss': 'recogniser'}}, "'recogniser' is neither .* did you mean 'recognizer'"),
    ({'recognizers': {}}, "'recognizers' is empty"),
    ({'loss': 'nobody'}, "recognizer 'loss': 'nobody' is neither"),
    ({'widths': {'EDRS': {}}}, "'widths': system 'EDRS' is unknown; did you mean 'EDSR'"),
    ({'set': {'ESRGAN': {'pnsr': {}}}}, "system 'ESRGAN' has no phase 'pnsr'; did you mean 'psnr'"),
    ({'shares': {'C-Face-v2': {'stage5': 1.0}}}, "has no phase 'stage5'; did you mean 'stage"),
    ({'scales': []}, 'scales'),
    ({'tests': {'held-out': None}}, 'tests'),
    ({'variants': {'a': {'of': 'C-Face'}}}, "variant 'a': system 'C-Face' is unknown; did you mean 'C-Face-v"),
    ({'budget': {}}, 'expected images or minutes'),
    ({'budget': {'images': 5, 'minutes': 2}}, 'expected images or minutes'),
    ({'seeds': [1, 1]}, "'seeds' names one twice"),
    ({'tests': {'a/b': {}}}, "'a/b' becomes a part of file names"),
    ({'tests': {'a': {'fars': 1}}}, "tests.a.fars' is unknown; did you mean 'far'"),
    ({'systms': ['EDSR']}, "'benchmark.systms' is unknown; did you mean 'systems'"),
    ({'systems': ['HR']}, "'systems' names none that is trained"),
])
def test_what_is_wrong_is_refused_with_the_nearest_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    import re
    assert re.search(message, refused(tmp_path, **changes))


def test_a_file_lies_over_its_bases_in_their_order(tmp_path: Path) -> None:
    write_benchmark(tmp_path, tiny_benchmark()).rename(tmp_path / 'a.yml')
    (tmp_path / 'b.yml').write_text(yaml.safe_dump({'batch': 8, 'seeds': [1], 'tests': {'held-out': None, 'x': {}}}))
    (tmp_path / 'c.yml').write_text(yaml.safe_dump({'base': ['a.yml', 'b.yml'], 'seeds': [2]}))
    file = read_benchmark(tmp_path / 'c.yml')
    assert (file.batch, file.seeds, list(file.tests)) == (8, [2], ['x'])
    assert file.systems == ['EDSR', 'C-Face-v2']


def test_a_null_in_a_base_still_takes_a_section_of_the_option_file_away(tmp_path: Path) -> None:
    write_benchmark(tmp_path, tiny_benchmark(set={'SRGAN': {'gan': {'train': {'perceptual_opt': None}}}})).rename(
        tmp_path / 'a.yml')
    (tmp_path / 'b.yml').write_text('base: a.yml\n')
    assert read_benchmark(tmp_path / 'b.yml').set['SRGAN'] == {'gan': {'train': {'perceptual_opt': None}}}


def test_a_null_takes_a_name_of_the_base_away_at_every_place_that_has_names(tmp_path: Path) -> None:
    base = tiny_benchmark(recognizers={'loss': 'a.onnx', 'judge': 'b.onnx'},
                          widths={'SRGAN': {'num_feat': 8}, 'EDSR': {}},
                          set={'SRGAN': {'gan': {'manual_seed': 1}, 'mse': {'manual_seed': 1}}, 'EDSR': {}},
                          shares={'SRGAN': {'gan': 1.0, 'mse': 2.0}, 'ESRGAN': {'gan': 1.0}})
    write_benchmark(tmp_path, base).rename(tmp_path / 'a.yml')
    (tmp_path / 'b.yml').write_text('base: a.yml\nrecognizers: {judge: ~}\nwidths: {EDSR: ~}\n'
                                    'set: {SRGAN: {gan: ~}, EDSR: ~}\nshares: {SRGAN: {gan: ~}, ESRGAN: ~}\n')
    file = read_benchmark(tmp_path / 'b.yml')
    assert file.recognizers == {'loss': 'a.onnx'} and file.widths == {'SRGAN': {'num_feat': 8}}
    assert file.set == {'SRGAN': {'mse': {'manual_seed': 1}}} and file.shares == {'SRGAN': {'mse': 2.0}}


def test_variables_are_filled_and_missing_ones_named(tmp_path: Path) -> None:
    path = write_benchmark(tmp_path, tiny_benchmark(recognizers={'loss': '$recognizer'}))
    assert loss_recognizer(read_benchmark(path, {'recognizer': 'a.onnx'})) == 'a.onnx'
    with pytest.raises(UserError, match=r"needs a value for '\$recognizer'"):
        read_benchmark(path)


def test_all_means_every_system_or_the_variants_where_there_are_some(tmp_path: Path) -> None:
    file = read_benchmark(write_benchmark(tmp_path, tiny_benchmark(systems='all')))
    assert [system.name for system in chosen_systems(file)] == list(SYSTEMS)
    file = read_benchmark(write_benchmark(tmp_path, tiny_benchmark(systems='all', variants={
        'k=1': {'of': 'C-Face-v2'}, 'k=2': {'of': 'C-Face-v2'}})))
    assert [system.rows for system in chosen_systems(file)] == [{'k=1': 'stage4'}, {'k=2': 'stage4'}]
