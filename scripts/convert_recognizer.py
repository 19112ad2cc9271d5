#!/usr/bin/env python3
"""Save published weights of a recognizer as a .pth file that says by itself which network it holds.

    python scripts/convert_recognizer.py sphere20a_20171020.pth sphereface20.pth

Known are SphereFace-20 of wy1iu (.caffemodel) and of clcarwin (.pth), and facexlib's recognition_arcface_ir_se50.pth.
The result is a CNN_R for option files (path.pretrain_network_r) and for every --recognizer.
"""

import argparse
import sys
from pathlib import Path

from cface_basicsr.compat.before_import import mend_functional_tensor
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import save_atomically


def convert(source: Path, out: Path) -> str:
    """Write `out`; the options of its network, as an option file's `network_r` has them.

    Raises:
        UserError: source is unknown, or says already which network it holds; or out is there or has no folder.
    """
    if out.exists():
        raise UserError(f"'{out}' exists. Give another name, or remove it.")
    if not out.parent.is_dir():
        raise UserError(f"the folder '{out.parent}' is missing. Make it, or name a file elsewhere.")
    mend_functional_tensor()
    from cface_basicsr.recognizers.load import published_recognizer
    published = published_recognizer(source)
    if published is None:
        raise UserError(f"'{source}' says already which network it holds; there is nothing to convert.")
    options, state = published
    save_atomically({'params': state, 'network': options}, out)
    return ', '.join(f'{name}: {value}' for name, value in options.items())


def main() -> int:
    """Exit code 0, or 2 with one message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='the published file')
    parser.add_argument('out', type=Path, help='the .pth file to write')
    arguments = parser.parse_args()
    try:
        options = convert(arguments.source, arguments.out)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{arguments.out}\nnetwork_r: {{{options}}}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
