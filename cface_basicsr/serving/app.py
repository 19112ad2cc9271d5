"""The page and its answers over HTTP: uploads are bounded while they come, and one photograph at a time is computed."""

import asyncio
import functools
import logging
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cface_basicsr.errors import UserError, describe_error, refused, shown, visible
from cface_basicsr.files.json_file import parse_json
from cface_basicsr.options.sections import open_section
from cface_basicsr.serving.guard import App, Guard
from cface_basicsr.serving.kept import NotKept
from cface_basicsr.serving.studio import MOST_PIXELS, Studio, Wanted

MOST_BYTES = 100_000_000
"""Of an uploaded photograph."""
_MOST_SETTINGS = 20_000
_KINDS = {'page.css': 'text/css', 'page.js': 'text/javascript'}
_FOLDER = files('cface_basicsr.serving')
Endpoint = Callable[[Request], Awaitable[Response]]


class TooLarge(UserError):
    """An upload has more bytes than are read."""


def make_app(studio: Studio, port: int) -> App:
    """The page as an ASGI app.

    Args:
        port: where it will be served.
    """
    return Guard(Starlette(routes=_Pages(studio).routes()), port)


class _Pages:
    """Answers requests; what computes runs in one thread, one after the other, and only one upload is in memory."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.thread = ThreadPoolExecutor(1)
        self.upload = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Every address."""
        own = [('GET', '/', self.page), *(('GET', f'/{name}', self.file) for name in _KINDS)]
        asked = [('POST', '/photos', self.look), ('POST', '/references', self.add_reference),
                 ('POST', '/photos/{key}', self.enhance), ('GET', '/pictures/{key}.png', self.picture)]
        return [Route(path, _in_words(answer), methods=[method]) for method, path, answer in [*own, *asked]]

    async def page(self, request: Request) -> Response:
        """The page."""
        return HTMLResponse(_template().render(systems=self.studio.systems(), most_bytes=MOST_BYTES,
                                               most_pixels=MOST_PIXELS, half=self.studio.offers_half))

    async def file(self, request: Request) -> Response:
        """Its style and its script."""
        name = request.url.path.lstrip('/')
        return Response(_FOLDER.joinpath(name).read_bytes(), media_type=_KINDS[name])

    async def look(self, request: Request) -> Response:
        """A photograph was dropped."""
        return await self._of_upload(request, self.studio.look)

    async def add_reference(self, request: Request) -> Response:
        """A photo of the person was added."""
        return await self._of_upload(request, self.studio.add_reference)

    async def enhance(self, request: Request) -> Response:
        """A network was chosen, or a setting changed."""
        wanted = open_section(Wanted, parse_json(await _body(request, _MOST_SETTINGS), 'the request'))
        return await self._computed(self.studio.enhance, request.path_params['key'], wanted)

    async def picture(self, request: Request) -> Response:
        """A PNG file."""
        return Response(self.studio.picture(request.path_params['key']), media_type='image/png')

    async def _of_upload(self, request: Request, take: Callable[[bytes, str], dict[str, Any]]) -> Response:
        async with self.upload:
            return await self._computed(take, await _body(request, MOST_BYTES), request.query_params.get('name', ''))

    async def _computed(self, function: Callable[..., dict[str, Any]], *values: Any) -> Response:
        return JSONResponse(await asyncio.get_running_loop().run_in_executor(self.thread, function, *values))


def _in_words(answer: Endpoint) -> Endpoint:
    """The same with a sentence for whatever fails."""
    @functools.wraps(answer)
    async def in_words(request: Request) -> Response:
        try:
            return await answer(request)
        except TooLarge as error:
            return JSONResponse({'error': shown(error)}, 413)
        except NotKept as error:  # the page drops what is gone
            return JSONResponse({'error': shown(error), 'gone': error.name}, 422)
        except (UserError, OSError, MemoryError) as error:
            return JSONResponse({'error': refused(error)}, 422)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            print(visible(traceback.format_exc()), file=sys.stderr)
            reason = describe_error(error).rstrip('.')
            return JSONResponse({'error': f'the program failed: {reason}. Its terminal says more.'}, 500)
    return in_words


async def _body(request: Request, most: int) -> bytes:
    """The body of a request; not more of it than this number of bytes is read.

    Raises:
        TooLarge: it has more.
    """
    announced = request.headers.get('content-length', '0')
    too_large = TooLarge(f'the file has more than {most:,} bytes. Save it smaller, or use the command.')
    if not announced.isdecimal() or int(announced) > most:
        raise too_large
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise too_large
        parts.append(part)
    return b''.join(parts)


@functools.cache
def _template() -> Any:
    environment = Environment(loader=PackageLoader('cface_basicsr.serving', ''), undefined=StrictUndefined,
                              autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template('page.html.j2')


def listen(port: int) -> socket.socket:
    """A socket of this machine only; who connects waits from now on until `serve` answers.

    Args:
        port: 0 takes a free one.

    Raises:
        UserError: the port is taken, or not allowed.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(('127.0.0.1', port))
        found.listen()
    except OSError as error:
        found.close()
        raise UserError(f'port {port} cannot be used ({error.strerror}). Take a free one: --port 0') from error
    return found


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        logging.getLogger('uvicorn.error').setLevel(logging.CRITICAL)  # what it says of answers that are cut off
        super().handle_exit(sig, frame)


def serve(studio: Studio, at: socket.socket) -> NoReturn:
    """Answer until the process is told to end, as by Ctrl-C; it then ends without what is still computed."""
    app = make_app(studio, at.getsockname()[1])
    settings = uvicorn.Config(app, log_level='warning', access_log=False, server_header=False, lifespan='off',
                              ws='none', proxy_headers=False, timeout_graceful_shutdown=2)
    with suppress(KeyboardInterrupt):  # uvicorn has ended by then
        _Server(settings).run(sockets=[at])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # otherwise Python waits for the thread, and nobody sees what it computes
