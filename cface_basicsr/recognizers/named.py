"""Whether there is a recognizer of some name, without torch, whose import takes seconds."""

import re
from pathlib import Path

from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.recognizer_file import named_recognizer

ACCEPTED = ('a .pth file of stage 0 or 3, published SphereFace-20 weights (.pth, .caffemodel), facexlib\'s ArcFace '
            '(.pth), an .onnx file, or dlib')
_NAME = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*')


def is_callable_name(text: str) -> bool:
    """Whether a text has the form `package.module:name`.

    >>> is_callable_name('my_nets.faces:build'), is_callable_name('weights/net_r.pth')
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


def recognizer_path(text: str | Path) -> Path | None:
    """The file of a recognizer, see `recognizers.load.load_recognizer`; None of `package.module:name`.

    Raises:
        UserError: it is missing, or holds features.

    >>> recognizer_path('dlib').name, recognizer_path('my_nets.faces:build')
    ('dlib_resnet_v1.pth', None)
    """
    path = named_recognizer(text)
    if isinstance(text, str) and is_callable_name(text) and not path.is_file():
        return None
    named = ', or package.module:name' if isinstance(text, str) else ''
    check_file(path, f'Expected {ACCEPTED}{named}.', 'recognizer')
    if path.suffix == '.npy':
        raise UserError(f"'{path}' holds features, not a recognizer: `cface evaluate` takes them by --features.")
    return path
