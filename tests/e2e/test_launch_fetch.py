"""launch/fetch-cifar10 against a server of the test's own, which can break off and resume."""

import hashlib
import http.server
import re
import tarfile
import threading

import pytest

from launch_copy import copy_launch, error_line, run

FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
FILE_SIZE = 30_730_000



class Server(http.server.ThreadingHTTPServer):
    """Serves `archive` with Range; breaks off after `limit` bytes of a response, if that is set."""

    def __init__(self, archive):
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive, self.limit, self.requests = archive, None, []
        self.url = f"http://127.0.0.1:{self.server_port}/cifar-10-binary.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = self.server.archive
        asked = self.headers.get("Range")
        self.server.requests.append(asked)
        start = int(re.match(r"bytes=(\d+)-", asked).group(1)) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = len(data) if self.server.limit is None else start + self.server.limit
        self.wfile.write(data[start:end])

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The official archive's layout with empty images: 184 MB that compress to 200 kB."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "zeros").write_bytes(bytes(FILE_SIZE))
    with tarfile.open(folder / "archive.tar.gz", "w:gz") as tar:
        for name in FILES:
            tar.add(folder / "zeros", f"cifar-10-batches-bin/{name}")
    (folder / "zeros").unlink()
    return (folder / "archive.tar.gz").read_bytes()


@pytest.fixture
def server(archive):
    server = Server(archive)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(tmp_path, server, archive):
    """launch/fetch-cifar10 in a copy that expects the checksum of the test's archive."""
    script = copy_launch(tmp_path) / "launch" / "fetch-cifar10"
    expected = f"readonly sha256={hashlib.sha256(archive).hexdigest()}"
    text, count = re.subn(r"(?m)^readonly sha256=.*$", expected, script.read_text())
    assert count == 1
    script.write_text(text)
    return lambda folder: run(script, folder, CIFAR10_URL=server.url)


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
    server.shutdown()
    server.server_close()
    result = fetch(tmp_path / "data")
    assert result.returncode == 6
    assert server.url in error_line(result)


def test_fetch_names_an_unwritable_destination(fetch, tmp_path):
    (tmp_path / "data").write_text("a file in the folder's place")
    result = fetch(tmp_path / "data")
    assert result.returncode == 1
    assert f"{tmp_path}/data: " in error_line(result)
