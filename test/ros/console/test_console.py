"""The operator console: who may come in, a stop that waits for nobody, what the page is told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from vinn.errors import ConfigError

aiohttp = pytest.importorskip("aiohttp", reason="needs vinn[console]")

from recorded_rollout import record_rollout  # noqa: E402
from tiny_encoder import write_square_demos, write_tiny_encoder  # noqa: E402
from vinn.policies.build import build_policy  # noqa: E402
from vinn_ros.console.access import Access  # noqa: E402
from vinn_ros.console.backend import COMMANDS, Picture  # noqa: E402
from vinn_ros.console.recordings import RecordingPages  # noqa: E402
from vinn_ros.console.server import ConsoleServer  # noqa: E402
from vinn_ros.console.state import Board  # noqa: E402

TOKEN = "a-token-of-the-test"


class FakeBackend:
    """Commands hang until they are released; a stop only counts."""

    def __init__(self) -> None:
        self.board = Board()
        self.release = threading.Event()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.stops: list[float] = []
        self.viewers = 0
        self.picture = Picture(7, b"\xff\xd8jpeg")

    def snapshot(self) -> dict[str, Any]:
        return self.board.snapshot()

    def wrist(self) -> Picture:
        return self.picture

    def mosaic(self) -> None:
        return None

    def watched(self, viewers: int) -> None:
        self.viewers = viewers

    def stop(self) -> None:
        self.stops.append(time.monotonic())

    def run(self, command: str, arguments: Mapping[str, Any]) -> tuple[bool, str]:
        self.asked.append((command, dict(arguments)))
        self.release.wait(30.0)
        return True, "done at last"


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    backend = FakeBackend()
    yield backend
    backend.release.set()


Serve = Callable[..., ConsoleServer]


@pytest.fixture
def serve(backend: FakeBackend, tmp_path: Path) -> Iterator[Serve]:
    servers: list[ConsoleServer] = []

    def start(token: str = "", folder: Path = tmp_path, policy: str = "") -> ConsoleServer:
        access = Access("127.0.0.1", token)
        server = ConsoleServer(backend, access, 0, RecordingPages(folder, lambda: policy))
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def ask(server: ConsoleServer, method: str, path: str, **options: Any) -> tuple[int, str]:
    async def run() -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, server.url + path, **options) as answer,
        ):
            return answer.status, await answer.text()

    return asyncio.run(run())


def test_stop_waits_for_nobody(serve: Serve, backend: FakeBackend) -> None:
    server = serve()
    for command in COMMANDS:
        status, _ = ask(server, "POST", f"do/{command}", json={"name": "x"})
        assert status == 202  # accepted, and none of them ever ends
    for command in COMMANDS:
        assert ask(server, "POST", f"do/{command}", json={"name": "x"})[0] == 409
    assert ask(server, "POST", "stop")[0] == 200
    assert len(backend.stops) == 1
    assert {command for command, _ in backend.asked} == set(COMMANDS)
    assert not backend.release.is_set()


def test_the_socket_carries_state_pictures_notes_and_stop(
    serve: Serve, backend: FakeBackend
) -> None:
    server = serve()

    async def run() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url + "socket") as socket,
        ):
            state = json.loads((await socket.receive()).data)
            assert state["running"] == [] and state["notes"] == []
            assert (await socket.receive()).data == b"\x00" + backend.picture.jpeg
            assert backend.viewers == 1
            await session.post(server.url + "do/start", json={"name": "oak"})
            await socket.send_str("stop")
            while not backend.stops:
                await socket.receive()
            backend.release.set()
            while True:
                message = await socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT and '"done at last"' in message.data:
                    break
        assert backend.asked == [("start", {"name": "oak"})]

    asyncio.run(asyncio.wait_for(run(), 30.0))


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"Origin": "http://evil.example"}, True),
        ({"Host": "evil.example"}, True),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, False),
    ],
)
def test_pages_of_others_steer_nothing(
    serve: Serve, backend: FakeBackend, headers: dict[str, str], refused: bool
) -> None:
    server = serve()
    status, text = ask(server, "POST", "stop", headers=headers)
    assert (status == 403) is refused, text
    assert len(backend.stops) == (0 if refused else 1)


def test_a_token_is_asked_for(serve: Serve, backend: FakeBackend) -> None:
    server = serve(token=TOKEN)
    assert ask(server, "GET", "")[0] == 403
    assert ask(server, "POST", "stop")[0] == 403
    assert ask(server, "POST", "stop", headers={"Authorization": "Bearer wrong-token-xx"})[0] == 403
    assert backend.stops == []
    assert ask(server, "POST", "stop", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200

    async def by_link() -> int:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            await session.get(server.url, params={"token": TOKEN})
            async with session.post(server.url + "stop") as answer:
                return answer.status

    assert asyncio.run(by_link()) == 200
    assert len(backend.stops) == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "robot.local", "", "128.0.0.1"])
def test_other_than_loopback_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match=f"token_file: empty with host '{host}'"):
        Access(host, "")


def test_a_port_in_use_is_named(serve: Serve, backend: FakeBackend, tmp_path: Path) -> None:
    port = int(serve().url.rsplit(":", 1)[1].strip("/"))
    pages = RecordingPages(tmp_path, lambda: "")
    with pytest.raises(ConfigError, match=f"port: 127.0.0.1:{port} cannot be used"):
        ConsoleServer(backend, Access("127.0.0.1", ""), port, pages).start()


def test_bad_requests_are_refused(serve: Serve) -> None:
    server = serve()
    assert ask(server, "POST", "do/fly")[0] == 404
    assert ask(server, "POST", "do/start", data=b"no json")[0] == 400
    assert ask(server, "POST", "do/start", json=["a"])[0] == 400
    assert ask(server, "POST", "do/start", data=b"x" * 100_000)[0] in (400, 413)
    assert ask(server, "GET", "recordings/..%2F..%2Fetc%2Fpasswd")[0] == 404
    assert ask(server, "GET", "recordings/none")[0] == 404


def test_the_page_needs_nothing_from_elsewhere(serve: Serve) -> None:
    server = serve()
    for path in ("", "console.js", "console.css"):
        status, text = ask(server, "GET", path)
        assert status == 200
        assert "http://" not in text and "https://" not in text


def test_recordings_are_listed_and_their_pages_made(serve: Serve, tmp_path: Path) -> None:
    write_square_demos(tmp_path / "demos", 3)
    from vinn.demos.store import Dataset

    encoder = write_tiny_encoder(tmp_path / "encoder")
    policy = build_policy(Dataset.open(tmp_path / "demos"), encoder, tmp_path / "policy", k=3)
    record_rollout(tmp_path / "rec" / "s1.mcap", policy)
    server = serve(folder=tmp_path / "rec", policy=str(policy))
    (row,) = json.loads(ask(server, "GET", "recordings")[1])
    assert (row["session"], row["reason"], row["label"]) == ("s1", "SUCCESS", None)
    status, page = ask(server, "GET", "recordings/s1")
    assert status == 200 and "s1" in page


def test_the_board_says_what_came_in_and_how_long_ago() -> None:
    board = Board()
    status = SimpleNamespace(
        state=3, reason="NONE", message="", session="s", step=2, max_steps=9, outcome=0,
        recording="", elapsed_s=1.25, driven=False,
    )  # fmt: skip
    board.take_supervisor(status)
    entry = SimpleNamespace(key="waiting_for_environment", value="True")
    told = SimpleNamespace(name="/rollout_supervisor", level=b"\x00", message="", values=[entry])
    board.take_diagnostics(SimpleNamespace(status=[told]))
    vector = SimpleNamespace(x=0.1, y=float("nan"), z=0.3)
    board.take_prediction(
        SimpleNamespace(
            sequence=1, policy="p@1", camera_delta=vector, action_scale="metric",
            gripper_value=1.5, novelty=float("nan"), preprocess_latency_s=0.001,
            encode_latency_s=0.02, retrieve_latency_s=0.0, image_age_s=0.05, neighbors=[],
            has_grasp_point=True, grasp_point=vector, grasp_point_std=vector,
            grasp_point_uv=[0.5, float("nan")], grasp_point_uv_std=[0.1, 0.2],
        )
    )  # fmt: skip
    snapshot = board.snapshot()
    json.dumps(snapshot, allow_nan=False)
    assert snapshot["supervisor"]["state"] == "RUNNING"
    assert snapshot["waiting_for_environment"] is True
    assert snapshot["policy"]["camera_delta"] == [0.1, None, 0.3]
    assert snapshot["policy"]["grasp_point"] == {
        "delta": [0.1, None, 0.3],
        "std": [0.1, None, 0.3],
        "uv": [0.5, None],
        "uv_std": [0.1, 0.2],
    }
    assert set(snapshot["ages_s"]) == {"supervisor", "policy"}
