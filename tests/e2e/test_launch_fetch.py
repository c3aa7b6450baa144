"""launch/fetch-cifar10 against servers of the test's own: dead, slow, silent, broken off, with other
content, without ranges. No test asks a public source: the copy of the script knows none."""

import hashlib
import http.server
import random
import re
import tarfile
import threading

import pytest

from launch_copy import copy_launch, error_line, forget_public_sources, run

FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
FILE_SIZE = 30_730  # a thousandth
PAGE = b"<!DOCTYPE html><html><body>" + b"This page has moved. " * 100 + b"</body></html>"


class Server(http.server.ThreadingHTTPServer):
    """Serves `archive` with Range. Of each answer it sends at most `limit` bytes, at `rate` bytes a
    second, and after `quota` bytes of all answers nothing more, without an end."""

    def __init__(self, archive):
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive, self.requests, self.closing = archive, [], threading.Event()
        self.limit = self.rate = self.quota = self.redirect = None
        self.ranges = self.names_length = True
        self.fails_after = None  # requests
        self.url = f"http://127.0.0.1:{self.server_port}/cifar-10-binary.tar.gz"

    def stop(self):
        self.closing.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, data, asked = self.server, self.server.archive, self.headers.get("Range")
        server.requests.append(asked)
        if server.fails_after is not None and len(server.requests) > server.fails_after:
            return self.send_error(503)
        if server.redirect:
            return self.answer(302, {"Location": server.redirect}, b"")
        start = int(re.match(r"bytes=(\d+)-", asked).group(1)) if asked else 0
        if start and server.ranges == "refused" or start and start >= len(data):
            return self.send_error(416)
        if not server.ranges:
            start = 0
        headers = {"Content-Length": len(data) - start} if server.names_length else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206 if start else 200, headers, data[start:][:server.limit])

    def answer(self, code, headers, body):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        server, sent = self.server, 0
        while sent < len(body):
            if server.quota is not None and server.quota <= 0:
                server.closing.wait()
                return
            size = len(body) if server.rate is None else max(1, server.rate // 20)
            size = min(size, len(body) if server.quota is None else server.quota)
            try:
                self.wfile.write(body[sent:sent + size])
            except OSError:  # the script has hung up
                return
            sent += size
            if server.quota is not None:
                server.quota -= size
            if server.rate is not None:
                server.closing.wait(0.05)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The official archive's layout in small."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "noise").write_bytes(random.Random(0).randbytes(FILE_SIZE))
    with tarfile.open(folder / "archive.tar.gz", "w:gz") as tar:
        for name in FILES:
            tar.add(folder / "noise", f"cifar-10-batches-bin/{name}")
    return (folder / "archive.tar.gz").read_bytes()


@pytest.fixture
def serve(archive):
    """Starts a server of the archive, or of `content`, with settings of class Server."""
    servers = []

    def start(content=archive, **settings):
        server = Server(content)
        vars(server).update(settings)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server
    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def script(tmp_path, archive):
    """launch/fetch-cifar10 in a copy that expects the test's archive and knows no public source."""
    tree = copy_launch(tmp_path)
    forget_public_sources(tree)
    path = tree / "launch" / "fetch-cifar10"
    text = path.read_text()
    for name, value in [("sha256", hashlib.sha256(archive).hexdigest()),
                        ("archive_size", len(archive)), ("file_size", FILE_SIZE)]:
        text, count = re.subn(rf"(?m)^readonly {name}=.*$", f"readonly {name}={value}", text)
        assert count == 1, name
    path.write_text(text)
    return path


@pytest.fixture
def fetch(script, server):
    return lambda folder: run(script, folder, CIFAR10_URL=server.url)


@pytest.fixture
def fetch_from(script, tmp_path):
    """Fetches into tmp_path/data, where `there` is what an earlier start left. A second under a
    megabyte a second is too slow."""
    def start(*servers, there=b"", **environment):
        (tmp_path / "data").mkdir()
        if there:
            (tmp_path / "data" / "cifar-10-binary.tar.gz.part").write_bytes(there)
        sources = " ".join(getattr(one, "url", one) for one in servers)
        return run(script, tmp_path / "data", **{
            "CIFAR10_URL": sources, "CIFAR10_MIN_RATE": "1000000", "CIFAR10_MIN_RATE_SECONDS": "1",
            **environment})
    return start


def assert_fetched(result, folder):
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{folder}/cifar-10-batches-bin\n"
    sizes = {path.name: path.stat().st_size for path in (folder / "cifar-10-batches-bin").iterdir()}
    assert sizes == dict.fromkeys(FILES, FILE_SIZE)
    assert [path.name for path in folder.iterdir()] == ["cifar-10-batches-bin"]


def test_fetch_downloads_once(fetch, server, tmp_path):
    assert_fetched(fetch(tmp_path / "new" / "data"), tmp_path / "new" / "data")
    again = fetch(tmp_path / "new" / "data")
    assert_fetched(again, tmp_path / "new" / "data")
    assert again.stderr == ""
    assert server.requests == [None]


def test_fetch_goes_on_after_a_break(fetch, server, archive, tmp_path):
    server.limit = 2 * len(archive) // 5
    assert_fetched(fetch(tmp_path / "data"), tmp_path / "data")
    assert server.requests == [None, f"bytes={server.limit}-", f"bytes={2 * server.limit}-"]


def test_fetch_goes_on_in_the_next_run(fetch, server, archive, tmp_path):
    part = tmp_path / "data" / "cifar-10-binary.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(archive[:1000])
    assert_fetched(fetch(tmp_path / "data"), tmp_path / "data")
    assert server.requests == ["bytes=1000-"]


def test_fetch_completes_a_damaged_folder(fetch, tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "test_batch.bin").write_bytes(b"short")
    assert_fetched(fetch(tmp_path / "data"), tmp_path / "data")


def test_fetch_rejects_a_wrong_checksum(fetch, server, archive, tmp_path):
    server.archive = archive[:-8] + bytes(8)
    result = fetch(tmp_path / "data")
    assert result.returncode == 3
    assert "wrong checksum" in error_line(result)
    assert list((tmp_path / "data").iterdir()) == []


def test_fetch_names_an_unreachable_server(fetch, server, tmp_path):
    server.stop()
    result = fetch(tmp_path / "data")
    assert result.returncode == 6
    assert server.url in error_line(result)


def test_fetch_names_an_unwritable_destination(fetch, tmp_path):
    (tmp_path / "data").write_text("a file in the folder's place")
    result = fetch(tmp_path / "data")
    assert result.returncode == 1
    assert f"{tmp_path}/data: " in error_line(result)


# --- several sources


def wrong(archive):
    """Another archive of the same size."""
    return archive[:-8] + bytes(8)


def test_fetch_passes_over_a_dead_source(fetch_from, serve, tmp_path):
    dead, gone, good = serve(), serve(fails_after=0), serve()
    dead.stop()
    assert_fetched(fetch_from(dead, gone, good), tmp_path / "data")
    assert (gone.requests, good.requests) == ([None], [None])


def test_fetch_goes_on_where_another_source_left_off(fetch_from, serve, archive, tmp_path):
    first, second = serve(limit=len(archive) // 3, fails_after=2), serve()
    assert_fetched(fetch_from(first, second), tmp_path / "data")
    assert second.requests == [f"bytes={2 * (len(archive) // 3)}-"]


def test_fetch_leaves_a_slow_source_for_the_next(fetch_from, serve, tmp_path):
    slow, quick = serve(rate=10_000), serve()
    result = fetch_from(slow, quick)
    assert_fetched(result, tmp_path / "data")
    assert f"{slow.url}: given up for now" in result.stderr
    assert len(slow.requests) == len(quick.requests) == 1
    assert int(re.match(r"bytes=(\d+)-", quick.requests[0]).group(1)) >= 10_000


def test_fetch_leaves_a_source_that_breaks_off_all_the_time(fetch_from, serve, tmp_path):
    class Reluctant(Handler):
        def do_GET(self):
            self.server.closing.wait(0.3)
            super().do_GET()
    choppy, quick = serve(limit=1000), serve()
    choppy.RequestHandlerClass = Reluctant
    assert_fetched(fetch_from(choppy, quick), tmp_path / "data")
    assert len(quick.requests) == 1


@pytest.mark.parametrize("quota", [0, 50_000])
def test_fetch_leaves_a_source_that_falls_silent(fetch_from, serve, tmp_path, quota):
    silent, good = serve(quota=quota), serve()
    assert_fetched(fetch_from(silent, good), tmp_path / "data")
    assert good.requests == [f"bytes={quota}-" if quota else None]


def test_fetch_takes_slow_sources_when_there_are_no_others(fetch_from, serve, archive, tmp_path):
    slow, less_slow = serve(rate=len(archive) // 30), serve(rate=len(archive) // 10)
    result = fetch_from(slow, less_slow)
    assert_fetched(result, tmp_path / "data")
    assert "now as slowly as they are" in result.stderr
    assert (len(slow.requests), len(less_slow.requests)) == (1, 2)  # then the less slow one alone


def test_fetch_takes_a_slow_source_at_once_where_no_rate_is_too_low(fetch_from, serve, archive, tmp_path):
    slow, quick = serve(rate=len(archive) // 3), serve()
    assert_fetched(fetch_from(slow, quick, CIFAR10_MIN_RATE="0"), tmp_path / "data")
    assert (slow.requests, quick.requests) == ([None], [])


def test_fetch_follows_redirects(fetch_from, serve, archive, tmp_path):
    good = serve(limit=2 * len(archive) // 3)
    assert_fetched(fetch_from(serve(redirect=good.url)), tmp_path / "data")
    assert good.requests == [None, f"bytes={2 * len(archive) // 3}-"]


# --- content that is not the archive


@pytest.mark.parametrize("there", [0, 1000])
@pytest.mark.parametrize("settings", [{}, {"ranges": False}, {"names_length": False}])
def test_fetch_passes_over_a_page_and_keeps_what_is_there(fetch_from, serve, archive, tmp_path, there,
                                                          settings):
    page, good = serve(PAGE, **settings), serve()
    result = fetch_from(page, good, there=archive[:there])
    assert_fetched(result, tmp_path / "data")
    assert good.requests == [f"bytes={there}-" if there else None]
    assert there or f"{page.url}: found {len(PAGE)} bytes, an HTML page; expected" in result.stderr


def test_fetch_begins_anew_after_wrong_content(fetch_from, serve, archive, tmp_path):
    bad, good = serve(wrong(archive)), serve()
    result = fetch_from(bad, good)
    assert_fetched(result, tmp_path / "data")
    assert f"{bad.url}: wrong checksum" in result.stderr
    assert (bad.requests, good.requests) == ([None], [None])


def test_fetch_gets_over_a_mixture(fetch_from, serve, archive, tmp_path):
    """Who of two gave the wrong half cannot be told: neither is ruled out, and none goes on from it."""
    half = len(archive) // 2
    bad, good = serve(b"bad" + archive[3:], limit=half, fails_after=1), serve()
    assert_fetched(fetch_from(bad, good), tmp_path / "data")
    assert good.requests == [f"bytes={half}-", None]


def test_fetch_gets_over_what_an_earlier_start_left(fetch_from, serve, archive, tmp_path):
    good = serve()
    assert_fetched(fetch_from(good, there=b"no archive"), tmp_path / "data")
    assert good.requests == ["bytes=10-", None]


def test_fetch_gets_over_a_file_that_is_too_long(fetch_from, serve, archive, tmp_path):
    assert_fetched(fetch_from(serve(), there=archive + b"more"), tmp_path / "data")


def test_fetch_ends_when_all_sources_have_something_else(fetch_from, serve, archive, tmp_path):
    sources = [serve(wrong(archive)), serve(PAGE), serve(archive + b"more"), serve(fails_after=0)]
    result = fetch_from(*sources, there=b"no archive")
    assert result.returncode == 3
    assert "wrong checksum or size" in error_line(result)
    assert all(one.url in error_line(result) for one in sources[:3])
    assert all(len(one.requests) <= 4 for one in sources)


def test_fetch_ends_an_answer_that_does_not_end(fetch_from, serve, archive, tmp_path):
    endless, good = serve(archive * 50, names_length=False), serve()
    result = fetch_from(endless, good)
    assert_fetched(result, tmp_path / "data")
    assert f"{endless.url}: found " in result.stderr


# --- sources that cannot begin in the middle


@pytest.mark.parametrize("ranges", [False, "refused"])
def test_fetch_prefers_sources_that_go_on(fetch_from, serve, archive, tmp_path, ranges):
    whole_only, good = serve(ranges=ranges), serve()
    assert_fetched(fetch_from(whole_only, good, there=archive[:1000]), tmp_path / "data")
    assert good.requests == ["bytes=1000-"]


@pytest.mark.parametrize("ranges", [False, "refused"])
def test_fetch_takes_the_whole_when_nobody_goes_on(fetch_from, serve, archive, tmp_path, ranges):
    whole_only = serve(ranges=ranges)
    assert_fetched(fetch_from(whole_only, there=archive[:1000]), tmp_path / "data")
    assert whole_only.requests == ["bytes=1000-", None]


def test_fetch_ends_when_the_whole_never_comes(fetch_from, serve, archive, tmp_path):
    source = serve(ranges=False, limit=len(archive) // 2)
    result = fetch_from(source)
    assert result.returncode == 6
    assert source.url in error_line(result)
    assert len(source.requests) < 10
    left = list((tmp_path / "data").iterdir())
    assert [path.read_bytes() for path in left] == [archive[:len(archive) // 2]]


# --- settings


@pytest.mark.parametrize("name, value", [("CIFAR10_MIN_RATE", "fast"), ("CIFAR10_MIN_RATE_SECONDS", "0")])
def test_fetch_refuses_settings_that_are_no_numbers(fetch_from, serve, name, value):
    result = fetch_from(serve(), **{name: value})
    assert result.returncode == 2
    assert f"{name}: found '{value}'; expected" in error_line(result)


def test_fetch_tries_the_own_sources_before_the_public_ones(fetch_from, script, serve, tmp_path):
    own, public = serve(fails_after=0), serve()
    script.write_text(script.read_text().replace('public_sources=""', f'public_sources="{public.url}"'))
    assert_fetched(fetch_from(own), tmp_path / "data")
    assert (own.requests, public.requests) == ([None], [None])
