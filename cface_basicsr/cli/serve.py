"""`cface serve`: one page in the browser for what `cface enhance` does to a photograph."""

from typing import Annotated

import typer

from cface_basicsr.cli.arguments import Device
from cface_basicsr.cli.show import say
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import pick_device, start_computing


def command(
    weights: Annotated[list[str] | None, typer.Option('--weights', '--network')] = None,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8765,
    open_page: Annotated[bool, typer.Option('--open')] = False,
    device: Device = None,
) -> None:
    """Show a page in the browser of this machine: drop a photo, see its faces before and after, download it.

    The page is at http://127.0.0.1:8765 until Ctrl-C. It needs no connection, keeps photos in memory only, and answers
    to nobody but itself: not to other machines, and not to other pages of the browser. What it gives to download is the
    file that `cface enhance` writes with the same settings.

    Args:
        weights: Network files and names to choose from; default: what `cface models list` prints as installed.
        port: Where the page is; 0: any free one.
        open_page: Open the page in the browser.

    \b
    Example:
      cface serve --open
    """
    try:
        from cface_basicsr.serving.app import listen, serve
    except ModuleNotFoundError as error:
        if error.name not in ('starlette', 'uvicorn'):
            raise
        raise UserError('the page needs two more libraries: pip install starlette uvicorn') from error
    from cface_basicsr.serving.studio import Studio
    start_computing()
    studio = Studio(weights or (), pick_device(device))
    with listen(port) as at:
        address = f'http://127.0.0.1:{at.getsockname()[1]}'
        say(f'{address}\nCtrl-C ends it.')
        if open_page:
            typer.launch(address)
        serve(studio, at)
