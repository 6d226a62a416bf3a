"""Downloads against a server on this machine that can break off, refuse ranges, and send rubbish."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import ngbench.data.download
from ngbench.cli import main
from ngbench.data import curves, faces, watching
from ngbench.data.download import DownloadError, RemoteFile, download
from ngbench.disk.locks import locked
from ngbench.errors import DataError, PathError
from ngbench.report.progress.downloads import show_download

CONTENT = bytes(range(256)) * 4096
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


def read_content(path: Path) -> None:
    if path.read_bytes() != CONTENT:
        raise DataError("it is another file")


@dataclass
class Site:
    """What the server does; ``requests`` collects the ranges that were asked for, None for the whole."""

    base: str = ""
    content: bytes = CONTENT
    break_after: list[int] = field(default_factory=list)
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, name: str = "file.bin") -> str:
        return f"{self.base}/{name}"


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            if self.path == "/missing.bin":
                self.send_error(404)
                return
            body, start = state.content, 0
            if wanted and state.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            stop = state.break_after.pop(0) if state.break_after else len(body)
            self.wfile.write(body[start : start + stop])

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        # A client that has gone, as some tests want, is no news; it may be noticed while another test reads stderr.
        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    state.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("checksum", [SHA256, MD5, None])
def test_whole_file_arrives_and_leaves_no_partial_file(site: Site, tmp_path: Path, checksum: str | None) -> None:
    path = download(RemoteFile("file.bin", (site.url(),), checksum, read_content), tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_present_file_is_not_asked_for(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    assert download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path).read_bytes() == b"mine"
    assert site.requests == []


def test_earlier_partial_file_is_continued(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    path = download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path)
    assert path.read_bytes() == CONTENT
    assert site.requests == [("/file.bin", "bytes=1000-")]


def test_connection_that_breaks_off_is_continued_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.break_after = [300_000]
    path = download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path)
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in site.requests] == [None, "bytes=300000-"]


@pytest.mark.parametrize("checksum", [SHA256, None])
def test_truncated_file_is_refused_and_continued_by_the_next_run(
    site: Site, tmp_path: Path, checksum: str | None
) -> None:
    site.break_after = [400_000, 0]
    file = RemoteFile("file.bin", (site.url(),), checksum, read_content)
    with pytest.raises(DataError, match=r"could not download file\.bin: .* broke off after 391 KiB of 1\.00 MiB"):
        download(file, tmp_path)
    assert not (tmp_path / "file.bin").exists()
    site.requests.clear()
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert site.requests == [("/file.bin", "bytes=400000-")]


def test_server_without_ranges_starts_over(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path).read_bytes() == CONTENT


def test_partial_file_that_is_whole_is_only_renamed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path).read_bytes() == CONTENT
    assert len(site.requests) == 1


@pytest.mark.parametrize("left_over", [b"rubbish", CONTENT + b"rubbish"])
def test_left_over_of_another_file_is_replaced(site: Site, tmp_path: Path, left_over: bytes) -> None:
    (tmp_path / "file.bin.part").write_bytes(left_over)
    assert download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path).read_bytes() == CONTENT


def test_corrupt_content_is_refused_and_forgotten(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"\0"
    file = RemoteFile("file.bin", (site.url(),), SHA256)
    place = re.escape(str(tmp_path / "file.bin"))
    with pytest.raises(DataError, match=f"wrong checksum; .* get the file by hand and put it at '{place}'"):
        download(file, tmp_path)
    assert list(tmp_path.iterdir()) == []
    site.content = CONTENT
    assert download(file, tmp_path).read_bytes() == CONTENT


def test_next_mirror_is_tried_and_continues_the_partial_file(site: Site, tmp_path: Path) -> None:
    site.break_after = [500_000, 0]
    file = RemoteFile("file.bin", (site.url("missing.bin"), site.url("first"), site.url("second")), SHA256)
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert site.requests[-1] == ("/second", "bytes=500000-")


def test_every_failure_is_named(site: Site, tmp_path: Path) -> None:
    refused = f"http://127.0.0.1:{closed_port()}/file.bin"
    file = RemoteFile("file.bin", (site.url("missing.bin"), refused), SHA256)
    with pytest.raises(DataError) as caught:
        download(file, tmp_path)
    assert "answered 404 Not Found" in str(caught.value)
    assert "is unreachable (Connection refused)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_silent_server_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/file.bin"
        with pytest.raises(DataError, match="timed out"):
            download(RemoteFile("file.bin", (url,), SHA256), tmp_path, timeout=0.05)


def test_server_that_speaks_no_http_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-nothing\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/file.bin"
        with pytest.raises(DataError, match="sent an invalid answer"):
            download(RemoteFile("file.bin", (url,), SHA256), tmp_path)
        thread.join()


def test_directory_that_cannot_be_made_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file")
    with pytest.raises(PathError, match=r"occupied' is not a directory"):
        download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path / "occupied" / "below")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the command line."""
    monkeypatch.setattr(watching, "_watcher", show_download)


def test_nothing_is_shown_where_nobody_asks(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test may have run the command line in this process.
    monkeypatch.setattr(watching, "_watcher", watching._nobody)
    download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path)
    assert capsys.readouterr() == ("", "")


def test_the_command_line_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_watcher", None)
    main(["--version"])
    assert watching._watcher is show_download


def test_progress_goes_to_standard_error_only(
    site: Site, shown: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "downloading file.bin (1.00 MiB)\n"


def test_terminal_gets_a_progress_bar(
    site: Site, shown: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path).read_bytes() == CONTENT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "━" in captured.err
    # Counted from the bytes that were there before.
    assert "1.0/1.0 MiB" in captured.err


def test_a_page_in_the_place_of_a_file_without_checksum_is_not_kept(site: Site, tmp_path: Path) -> None:
    site.content = b"<html>Please log in</html>"
    file = RemoteFile("file.bin", (site.url(),), None, read_content)
    with pytest.raises(DownloadError, match="sent something else"):
        download(file, tmp_path)
    assert list(tmp_path.iterdir()) == []
    site.content = CONTENT
    assert download(file, tmp_path).read_bytes() == CONTENT


def test_a_file_that_nothing_tells_from_others_cannot_be_downloaded() -> None:
    with pytest.raises(ValueError, match="nothing by which"):
        RemoteFile("file.bin", ("http://127.0.0.1/file.bin",), None)


@pytest.mark.parametrize("official", [curves.OFFICIAL, faces.OFFICIAL], ids=lambda file: file.name)
@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_what_is_not_the_official_file_is_not_kept(
    site: Site, tmp_path: Path, official: RemoteFile, content: bytes
) -> None:
    site.content = content
    with pytest.raises(DownloadError, match="sent something else"):
        download(replace(official, urls=(site.url(),)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_wants_what_another_downloads_waits_and_does_not_ask(site: Site, tmp_path: Path) -> None:
    file = RemoteFile("file.bin", (site.url(),), SHA256)
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda _: download(file, tmp_path), range(3)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert len(site.requests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_who_waits_for_one_that_hangs_gives_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngbench.data.download, "PATIENCE", 0.5)
    with locked(tmp_path / "file.bin.part.lock"), pytest.raises(DataError, match="has kept the lock"):
        download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path)
    assert site.requests == []


def test_who_waits_for_one_that_gets_on_does_not_give_up(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ngbench.data.download, "PATIENCE", 2.0)
    partial = tmp_path / "file.bin.part"
    with ThreadPoolExecutor(1) as pool:
        with locked(tmp_path / "file.bin.part.lock"):
            waiting = pool.submit(download, RemoteFile("file.bin", (site.url(),), SHA256), tmp_path)
            for size in range(1, 8):
                partial.write_bytes(CONTENT[:size])
                time.sleep(0.5)
            assert not waiting.done()
        assert waiting.result().read_bytes() == CONTENT


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes")
@pytest.mark.parametrize("planted", ["link", "pipe"])
def test_what_others_plant_in_a_shared_directory_is_not_written_to(site: Site, tmp_path: Path, planted: str) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    partial = tmp_path / "data" / "file.bin.part"
    partial.parent.mkdir()
    if planted == "link":
        partial.symlink_to(mine)
    else:
        os.mkfifo(partial)
    download(RemoteFile("file.bin", (site.url(),), SHA256), tmp_path / "data")
    assert mine.read_bytes() == b"mine"
