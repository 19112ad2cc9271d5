"""Who may ask: only the page itself, opened on this machine under its own address.

A page of another site can have the browser send requests to this one, and by DNS rebinding it can even read the
answers: its own name then leads to 127.0.0.1. So the name that was asked for (Host) must be ours, and what is sent must
come from our page: browsers say so (Origin), and other pages cannot have them say it.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

SAFE_HEADERS = {
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Resource-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff', 'X-Frame-Options': 'DENY', 'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store'}
"""Of every answer: nothing from elsewhere is loaded, nobody else shows or embeds it, no copy stays in the browser."""


class Guard:
    """Refuses what does not come from the page, before the app sees it."""

    def __init__(self, app: App, port: int) -> None:
        self.app, self.port = app, port

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':  # a web socket is not accepted, and so refused
            return
        reason = why_not(scope['method'], scope['path'], scope['headers'], self.port)
        app = JSONResponse({'error': reason}, 403) if reason else self.app

        async def send_safely(message: Message) -> None:
            if message['type'] == 'http.response.start':
                own = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
                message['headers'] = [*message.get('headers', []), *own]
            await send(message)
        await app(scope, receive, send_safely)


def why_not(method: str, path: str, headers: Headers, port: int) -> str:
    """Why a request is refused; '' where it is not.

    Args:
        headers: names in lower case.
        port: of this page.

    >>> why_not('GET', '/', [(b'host', b'127.0.0.1:8765')], 8765)
    ''
    >>> why_not('GET', '/', [(b'host', b'evil.example:8765')], 8765)
    'this page answers only to http://127.0.0.1:8765 and http://localhost:8765.'
    """
    def all_of(name: bytes) -> list[str]:
        return [value.decode('latin-1') for each, value in headers if each == name]
    at_port = '' if port == 80 else f':{port}'  # browsers leave 80 out
    ours = [name + at_port for name in ('127.0.0.1', 'localhost')]
    hosts, origins, sites = all_of(b'host'), all_of(b'origin'), all_of(b'sec-fetch-site')
    if len(hosts) != 1 or hosts[0] not in ours:
        return f'this page answers only to http://{ours[0]} and http://{ours[1]}.'
    reads = method in ('GET', 'HEAD')
    if origins != [f'http://{hosts[0]}'] and not (reads and not origins):
        return 'only the page itself may send something, and this came from elsewhere (Origin).'
    opened = reads and path == '/' and all_of(b'sec-fetch-mode') == ['navigate']  # a link to the page may be anywhere
    if not opened and not set(sites) <= {'same-origin', 'none'}:
        return 'only the page itself may ask for this, and another one did (Sec-Fetch-Site).'
    return ''
