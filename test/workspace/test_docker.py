"""The images and their composition hold together."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())


def test_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    result = subprocess.run(
        [str(hadolint), "--no-color", str(DOCKER / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_service_builds_a_stage_that_exists(name: str) -> None:
    build = COMPOSE["services"][name]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
    text = (DOCKER / "Dockerfile").read_text()
    assert build["target"] in re.findall(r"^FROM \S+ AS (\S+)$", text, re.M)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_service_can_share_memory_with_the_host(name: str) -> None:
    service = COMPOSE["services"][name]
    assert (service["network_mode"], service["ipc"]) == ("host", "host")


def test_the_build_context_has_every_file_that_is_copied() -> None:
    """.dockerignore lets nothing through that it does not name."""
    let_through = {
        line.removeprefix("!")
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    text = (DOCKER / "Dockerfile").read_text()
    copied = set(re.findall(r"^COPY (?!--from)(\S+) ", text, re.M))
    for path in copied:
        assert (DOCKER.parent / path).exists()
        parents = {str(parent) for parent in Path(path).parents}
        assert {path, *parents} & let_through, path
