"""`cface convert`: published weights of a recognizer as a network file that says which network it holds."""

from pathlib import Path

from cface_basicsr.cli.arguments import check_new
from cface_basicsr.cli.show import say
from cface_basicsr.errors import UserError


def command(
    source: Path, out: Path,
) -> None:
    """Save published weights of a recognizer as a .pth file that says which network it holds.

    Known are SphereFace-20 of wy1iu (.caffemodel) and of clcarwin (.pth), and facexlib's
    recognition_arcface_ir_se50.pth. The result is a CNN_R for option files (path.pretrain_network_r; the network_r
    section is printed) and for every --recognizer.

    Args:
        source: The published file.
        out: The .pth file to write.

    \b
    Example:
      cface convert sphere20a_20171020.pth sphereface20.pth
    """
    from cface_basicsr.files.network_file import STARTED_FROM, save_atomically
    from cface_basicsr.files.recognizer_file import recognizer_marks
    from cface_basicsr.recognizers.load import published_recognizer
    check_new(out)
    published = published_recognizer(source)
    if published is None:
        raise UserError(f"'{source}' already says which network it holds; there is nothing to convert.")
    options, state = published
    save_atomically({'params': state, 'network': options, STARTED_FROM: sorted(recognizer_marks(source))}, out)
    section = ', '.join(f'{name}: {value}' for name, value in options.items())
    say(f'{out}\nnetwork_r: {{{section}}}')
