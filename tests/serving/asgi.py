"""One request to the page's app, without a socket."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PORT = 8765
PAGE = {'host': f'127.0.0.1:{PORT}', 'origin': f'http://127.0.0.1:{PORT}', 'sec-fetch-site': 'same-origin'}
"""What a browser adds to a request of the page."""


class Answer(NamedTuple):
    """What came back, and how many parts of the body had been read."""

    status: int
    headers: dict[str, str]
    body: bytes
    read: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: Any, method: str, address: str, body: bytes | list[bytes] = b'',
        headers: Mapping[str, str] = PAGE) -> Answer:
    """Send a request; a list is sent part by part, without its length."""
    path, _, query = address.partition('?')
    parts, length = ([body], {'content-length': str(len(body))}) if isinstance(body, bytes) else (body, {})
    scope = {'type': 'http', 'method': method, 'path': path, 'raw_path': path.encode(), 'query_string': query.encode(),
             'headers': [(name.encode(), value.encode()) for name, value in {**length, **headers}.items()],
             'scheme': 'http', 'http_version': '1.1', 'root_path': '', 'client': ('127.0.0.1', 9), 'server': None}
    coming: Iterator[bytes] = iter(parts)
    read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {'type': 'http.request', 'body': next(coming, b''), 'more_body': read < len(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
    asyncio.run(app(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]['headers']}
    return Answer(sent[0]['status'], found, b''.join(each.get('body', b'') for each in sent[1:]), read)
