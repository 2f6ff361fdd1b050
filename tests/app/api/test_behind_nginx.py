"""Behind a real nginx with its default proxy settings and gzip on, an answer arrives word by word."""

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.fixtures.installation import free_port
from tests.fixtures.server import Server, read_events

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
TOKENS_PER_S = 25
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    gzip on;
    gzip_proxied any;
    gzip_types *;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {url}; }}
    }}
}}
"""

pytestmark = [
    pytest.mark.usefixtures("corpus"),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed; `apt-get install nginx-light` brings it"),
]


@pytest.fixture
def front(settings: Settings, serve: Callable[[Settings], Server], tmp_path: Path) -> Iterator[str]:
    """The URL of an nginx before a server whose model writes at a steady pace."""
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": TOKENS_PER_S}))
    port = free_port()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=tmp_path, port=port, url=server.url))
    assert NGINX
    nginx = subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        nginx.terminate()
        nginx.wait(10)


async def test_words_arrive_one_by_one(front: str) -> None:
    headers = {"Accept-Encoding": "gzip", "Host": "localhost"}
    body = {"message": "When does the ferry to Holm Island leave? [[tokens=50]]"}
    async with (
        httpx.AsyncClient(base_url=front, timeout=60, headers=headers) as client,
        client.stream("POST", "/v1/chat", json=body) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-encoding"] == "gzip"
        arrivals = [time.monotonic() async for event in read_events(response) if event.type == "text.delta"]
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(arrivals))
    assert len(arrivals) >= 40
    # held back, they would come all at once; each is as far from the next as the model took to write it
    assert gaps[len(gaps) // 2] > 0.5 / TOKENS_PER_S, gaps
    assert arrivals[-1] - arrivals[0] > 0.7 * 50 / TOKENS_PER_S
    assert gaps[-1] < 1.0, gaps
