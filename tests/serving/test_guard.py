"""Who is answered: the page itself, under its own address; nobody else, whatever the browser is made to send."""

import pytest

pytest.importorskip('starlette', reason='the page needs starlette')
from cface_basicsr.serving.guard import SAFE_HEADERS, Guard, why_not  # noqa: E402
from tests.serving.asgi import PAGE, PORT, ask  # noqa: E402

HERE = {'host': f'127.0.0.1:{PORT}'}
ELSEWHERE = {**PAGE, 'origin': 'https://evil.example', 'sec-fetch-site': 'cross-site'}


def reason(method: str, path: str, **headers: str) -> str:
    return why_not(method, path, [(name.replace('_', '-').encode(), value.encode()) for name, value in headers.items()],
                   PORT)


@pytest.mark.parametrize('name', ['127.0.0.1', 'localhost'])
def test_the_page_is_answered_under_both_of_its_names(name: str) -> None:
    host = f'{name}:{PORT}'
    assert reason('GET', '/', host=host) == ''
    assert reason('GET', '/page.js', host=host, sec_fetch_site='same-origin') == ''
    assert reason('POST', '/photos', host=host, origin=f'http://{host}', sec_fetch_site='same-origin') == ''


def test_at_port_80_the_page_is_asked_for_by_its_bare_name_as_browsers_do() -> None:
    for host in (b'127.0.0.1', b'localhost'):
        assert why_not('POST', '/photos', [(b'host', host), (b'origin', b'http://' + host)], 80) == ''
    assert why_not('GET', '/', [(b'host', b'evil.example')], 80) == (
        'this page answers only to http://127.0.0.1 and http://localhost.')


@pytest.mark.parametrize('host', ['evil.example', f'evil.example:{PORT}', '127.0.0.1', f'127.0.0.1:{PORT + 1}',
                                  f'127.0.0.1:{PORT}.evil.example', f'127.0.0.1:{PORT}@evil.example', '',
                                  f'127.0.0.2:{PORT}', f'0.0.0.0:{PORT}'])
def test_a_name_that_was_led_here_is_refused_even_for_reading(host: str) -> None:
    assert 'answers only to http://127.0.0.1:8765' in reason('GET', '/', host=host)
    assert reason('POST', '/photos', host=host, origin=f'http://{host}') != ''


def test_a_request_without_a_name_or_with_two_is_refused() -> None:
    assert why_not('GET', '/', [], PORT) != ''
    assert why_not('GET', '/', [(b'host', HERE['host'].encode())] * 2, PORT) != ''


@pytest.mark.parametrize('origin', ['https://evil.example', 'null', f'https://127.0.0.1:{PORT}', 'http://127.0.0.1:3000',
                                    f'http://localhost:{PORT}', f'http://127.0.0.1:{PORT}/', ''])
@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'OPTIONS'])
def test_what_another_page_sends_is_refused(method: str, origin: str) -> None:
    assert '(Origin)' in reason(method, '/photos', **HERE, origin=origin)


def test_what_is_sent_without_saying_from_where_is_refused() -> None:
    assert '(Origin)' in reason('POST', '/photos', **HERE)


@pytest.mark.parametrize('site', ['cross-site', 'same-site'])
def test_another_page_may_link_to_the_page_and_embed_nothing_of_it(site: str) -> None:
    assert reason('GET', '/', **HERE, sec_fetch_site=site, sec_fetch_mode='navigate') == ''
    assert '(Sec-Fetch-Site)' in reason('GET', '/', **HERE, sec_fetch_site=site, sec_fetch_mode='no-cors')
    assert '(Sec-Fetch-Site)' in reason('GET', '/pictures/a.png', **HERE, sec_fetch_site=site,
                                        sec_fetch_mode='navigate')


def test_the_app_sees_nothing_of_what_is_refused_and_every_answer_forbids_to_embed_it() -> None:
    seen = []

    async def app(scope: dict, receive: object, send: object) -> None:
        seen.append(scope['path'])
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': b'yes'})
    refused = ask(Guard(app, PORT), 'POST', '/photos', b'x', ELSEWHERE)
    answered = ask(Guard(app, PORT), 'GET', '/')
    assert (refused.status, answered.status, answered.body) == (403, 200, b'yes') and seen == ['/']
    assert refused.read == 0 and 'Origin' in refused.json['error']
    for answer in (refused, answered):
        assert {name: answer.headers.get(name.lower()) for name in SAFE_HEADERS} == SAFE_HEADERS
    assert "default-src 'none'" in answered.headers['content-security-policy']
