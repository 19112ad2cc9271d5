"""The reader of all YAML that users write: it runs no code, loses no key, and reads 1e-4 as a number.

YAML 1.1, which PyYAML and so BasicSR read, lets the last of two equal keys win, takes 1e-4 for a text, since it has no
point, and 010 for 8. `CONSTRUCTORS` is what differs here; `compat` gives it to BasicSR's own reader, too.
"""

import codecs
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from cface_basicsr.errors import UserError, describe_error
from cface_basicsr.files.text_file import read_whole
from cface_basicsr.registration import admitted

_MOST_BYTES, _MOST_VALUES, _DEEPEST = 1 << 24, 100_000, 60
_NUMBER = re.compile(r'[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+')
_MARKS = {codecs.BOM_UTF32_LE: 'UTF-32', codecs.BOM_UTF32_BE: 'UTF-32', codecs.BOM_UTF16_LE: 'UTF-16',
          codecs.BOM_UTF16_BE: 'UTF-16'}  # the first one begins with the third


# ------------------------------------------------------------------------------------------------ what differs from 1.1

def _number(loader: Any, node: yaml.ScalarNode) -> int | float | str:
    """1e-4 -> 0.0001; 5e3, which has no point and is whole, -> 5000, so that it can count iterations.

    1:30.5, in YAML 1.1 minutes and seconds, stays a text. Also after `!!float`, as in the option files of BasicSR.
    """
    if ':' in node.value:
        return node.value
    value = loader.construct_yaml_float(node)
    return int(value) if '.' not in node.value and value.is_integer() else value


def _whole_number(loader: Any, node: yaml.ScalarNode) -> int | str:
    """1:30 and 010 stay texts, which are 90 and 8 in YAML 1.1, and neither in YAML 1.2."""
    return node.value if re.fullmatch(r'[-+]?(0[0-7_]+|.*:.*)', node.value) else loader.construct_yaml_int(node)


def _text_or_number(loader: Any, node: yaml.ScalarNode) -> str | int | float:
    plain = not node.style  # a quoted one has a style
    return _number(loader, node) if plain and _NUMBER.fullmatch(node.value) else loader.construct_scalar(node)


def _section(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    lines: dict[tuple[str, str], int] = {}
    for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
        mark, name = key.start_mark, (key.tag, key.value)
        if name in lines:
            raise UserError(f"'{mark.name}', line {mark.line + 1}: '{key.value}' is given twice in one section, first "
                            f'in line {lines[name]}. Keep one of them.')
        lines[name] = mark.line + 1
    node.value = list(_with_laid_under(node).values())
    return loader.construct_mapping(node, deep=True)  # deep: what an alias repeats must have been checked before


def _with_laid_under(node: yaml.MappingNode) -> dict[Any, tuple[yaml.Node, yaml.Node]]:
    """The keys of a section and of those that `<<` lays under it, with their values, each key once.

    As YAML defines it: the section's own key wins, then that of the first of several sections. PyYAML's releases do not
    agree: in 6.0.4 the last of several wins, and a key of one letter is that of the lowest section.
    """
    under: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
    own = {}
    for key, value in node.value:
        sections = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if key.tag == 'tag:yaml.org,2002:merge' and all(isinstance(each, yaml.MappingNode) for each in sections):
            for section in reversed(sections):
                under |= _with_laid_under(section)
        else:
            own[(key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)] = key, value
    return under | own


CONSTRUCTORS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType({
    'tag:yaml.org,2002:str': _text_or_number, 'tag:yaml.org,2002:float': _number,
    'tag:yaml.org,2002:int': _whole_number,
    'tag:yaml.org,2002:map': _section})
"""Tag of YAML -> how any loader of PyYAML is to make the value. A doubled key is a UserError."""


# -------------------------------------------------------------------------------------------------- reading and writing

class Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
    """PyYAML's safe loader with one more tag: `!!python/name:MODULE.NAME` is read as a text and imports nothing.

    It is refused unless the module is ours, or the user has named it by `--plugin`.
    """


class _TolerantLoader(Loader):
    """The same for a file that BasicSR's own program reads, which imports whatever it names."""


def _named_module(loader: Any, suffix: str, node: yaml.Node) -> str:
    module, mark = suffix.rpartition('.')[0], node.start_mark
    if suffix != PLUGIN and module not in admitted():
        raise UserError(f"'{mark.name}', line {mark.line + 1}: '!!python/name:{suffix}' names a module, and no module "
                        f'is imported because a file names it. Write !!python/name:{PLUGIN}, and give yours by '
                        f"--plugin {module or 'MODULE'}.")
    return suffix


PLUGIN = 'cface_basicsr.register.NAME'
"""What the plugin line of an option file names."""
_NAMES = 'tag:yaml.org,2002:python/name:'
Loader.add_multi_constructor(_NAMES, _named_module)
_TolerantLoader.add_multi_constructor(_NAMES, lambda loader, suffix, node: suffix)
for _tag, _constructor in CONSTRUCTORS.items():
    Loader.add_constructor(_tag, _constructor)
    _TolerantLoader.add_constructor(_tag, _constructor)


def parse_yaml(text: str, name: str, any_module: bool = False) -> Any:
    """What a text in YAML says.

    Args:
        name: of the text, in messages.
        any_module: whether the text may name any module. None is imported here in either case.

    Raises:
        UserError: it is not valid YAML, a key occurs twice in a section, or it names a module that the user has not
            named; the message has the line.
    """
    try:
        _check_amount(text, name)
        return yaml.load(_named(text, name), Loader=_TolerantLoader if any_module else Loader)
    except UserError:
        raise
    except Exception as error:  # PyYAML lets through whatever a value such as 2024-13-01 or !!int x raises
        where = getattr(error, 'problem_mark', None)
        line = f', line {where.line + 1}' if where else ''
        raise UserError(f"'{name}'{line} is not valid YAML: "
                        f"{getattr(error, 'problem', None) or describe_error(error)}.") from error


def _named(text: str, name: str) -> io.StringIO:
    stream = io.StringIO(text)
    stream.name = name  # where PyYAML looks for it
    return stream


def _check_amount(text: str, name: str) -> None:
    """Refuse what is nested too deeply for PyYAML, which would end the process, and what aliases blow up.

    Events come one after the other, whatever the depth; an alias counts for all that it repeats.
    """
    counts, anchors, sizes = [0], [None], {}
    for event in yaml.parse(_named(text, name), Loader=Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            size, anchor = counts.pop() + 1, anchors.pop()
            sizes[anchor] = size
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            counts.append(0)
            anchors.append(event.anchor)
            sizes[event.anchor] = None  # of its own content, until its end
            size = 0
        elif isinstance(event, yaml.NodeEvent):
            size = sizes.get(event.anchor, 1) if isinstance(event, yaml.AliasEvent) else 1
            if size is None:
                raise UserError(f"'{name}', line {event.start_mark.line + 1} is not valid YAML: "
                                f"'*{event.anchor}' is part of itself.")
        else:
            continue
        counts[-1] += size
        if len(counts) > _DEEPEST or counts[-1] > _MOST_VALUES:
            raise UserError(f"'{name}', line {event.start_mark.line + 1} is not valid YAML: expected at most "
                            f'{_DEEPEST - 1} sections in one another and {_MOST_VALUES:,} values, aliases included.')


def read_yaml(path: str | Path, kind: str = '', any_module: bool = False) -> Any:
    """What a YAML file says; None if it is empty.

    Args:
        kind: a word or two for the message that the file is missing.
        any_module: see `parse_yaml`.

    Raises:
        UserError: it is missing, not in UTF-8, or refused by `parse_yaml`.
    """
    text = _decoded(read_whole(path, 'Expected a YAML file.', kind, _MOST_BYTES), Path(path))
    return parse_yaml(text, str(path), any_module)


def _decoded(content: bytes, path: Path) -> str:
    """BasicSR reads no other encoding than UTF-8 either."""
    unmarked = 'UTF-16' if b'\0' in content else ''
    wide = next((name for mark, name in _MARKS.items() if content.startswith(mark)), unmarked)
    try:
        if wide:
            raise UserError(f"'{path}' is in {wide}, expected UTF-8: save the file in that encoding.")
        return content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise UserError(f"'{path}', line {line}: expected UTF-8, and this looks like {_encoding_of(content)}. Save the "
                        'file as UTF-8.') from error


def _encoding_of(content: bytes) -> str:
    try:
        content.decode('gbk')
        return 'GBK'
    except UnicodeDecodeError:
        return 'Windows-1252 or another encoding of one byte a letter'


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper without anchors: a list that two sections share is written in both."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver('tag:yaml.org,2002:float', _NUMBER, list('-+.0123456789'))  # so the text '1e4' is quoted


def to_yaml(content: Any, flow: bool | None = False) -> str:
    """A value as YAML that `parse_yaml` reads as the same value.

    Args:
        flow: None writes the innermost sections in one line, `{type: lmdb}`.
    """
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=120)
