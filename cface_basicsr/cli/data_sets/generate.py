"""`cface generate`: stage 2, super-resolve a whole store of LR faces into D_SR."""

from pathlib import Path

from cface_basicsr.cli.arguments import Generator, Plugins
from cface_basicsr.runtime import pick_device, start_computing


def command(
    data: Path, weights: Generator, out: Path | None = None, batch_size: int = 64, plugin: Plugins = None,
) -> None:
    """Super-resolve the whole training set (stage 2); a killed run continues.

    Args:
        data: Folder made by `cface prepare`, with its lr_x<scale>.lmdb.
        out: The store; default: DATA/sr_x<scale>_<hash>.lmdb.
        batch_size: Images at a time.

    \b
    Example:
      cface generate datasets/casia/train --weights experiments/cface_x8/stage1/models/net_g_latest.pth
    """
    from cface_basicsr.cli.show import ShowSteps, say
    from cface_basicsr.data.super_resolved_store import super_resolve_folder
    from cface_basicsr.errors import UserError
    from cface_basicsr.files.manifest import file_hash
    from cface_basicsr.files.network_file import network_options
    start_computing()
    network = network_options(weights)
    scale = network.get('scale', network.get('upscale'))  # the name in BasicSR's EDSR
    if scale is None:
        raise UserError(f"'{weights}' holds a {network['type']}, expected a generator (net_g_*.pth).")
    store = out or data / f'sr_x{scale}_{file_hash(weights)}.lmdb'
    with ShowSteps(1) as show:
        super_resolve_folder(weights, data, scale, store, device=pick_device(), progress=show.follow('generate'),
                             batch_size=batch_size)
        show.end('generate', str(store))
    say(store)
