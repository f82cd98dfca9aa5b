"""What comes from elsewhere: regular files alone, and one line for whatever a parser raises."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from vinn.demos.frames import read_frame, read_image
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder
from vinn.errors import DatasetError, VinnError
from vinn.ingest.decode import probe_video
from vinn.ingest.frame_source import open_source
from vinn.ingest.gripper.classifier import GripperClassifier
from vinn.ingest.lenses.camera_profile import load_profile
from vinn.ingest.lenses.intrinsics import read_intrinsics
from vinn.policies.artefact import open_artefact
from vinn.policies.mlp import load_heads
from vinn.reading.arrays import check_finite, read_npy, read_npz
from vinn.reading.documents import read_json, read_yaml
from vinn.reading.regular import open_regular
from vinn.reading.tables import read_table
from vinn.robot.config import load_robot_config
from vinn.rollout.reader import read_recording, summarize_recording

READERS: dict[str, Callable[[Path], object]] = {
    "JSON": lambda path: read_json(path, DatasetError),
    "YAML": lambda path: read_yaml(path, DatasetError),
    "Parquet": lambda path: read_table(path, DatasetError),
    "array": lambda path: read_npy(path, DatasetError),
    "mapped array": lambda path: read_npy(path, DatasetError, mapped=True),
    "arrays": lambda path: read_npz(path, DatasetError),
    "heads": lambda path: load_heads(path, ("action",)),
    "classifier": GripperClassifier.load,
    "frame": read_frame,
    "image": read_image,
    "recording": lambda path: list(read_recording(path)),
    "summary": summarize_recording,
    "profile": load_profile,
    "intrinsics": read_intrinsics,
    "robot": load_robot_config,
    "video": probe_video,
    "source": lambda path: open_source(str(path), 0, 0, 1.0),
    "encoder": lambda path: read_manifest(path.parent),
    "policy": lambda path: open_artefact(path.parent),
}


@pytest.fixture(params=["pipe", "socket", "folder", "device"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """What is no regular file, under the name that an artefact's reader looks for."""
    path = tmp_path / "manifest.json"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "socket":
        with closing(socket.socket(socket.AF_UNIX)) as opened:
            opened.bind(str(path))
            yield path
        return
    yield path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_and_never_waited_for(reader: str, special: Path) -> None:
    if special.is_dir() and reader == "source":
        pytest.skip("a folder of images is a source")
    with pytest.raises(VinnError) as caught:
        READERS[reader](special)
    assert str(special) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "data.json"
    os.mkfifo(pipe)
    monkeypatch.setattr("vinn.reading.regular.check_regular", lambda *_: 0)
    with pytest.raises(DatasetError, match="is a pipe"):
        open_regular(pipe, DatasetError)


def npy(header: str) -> bytes:
    text = header.encode("latin-1").ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 64


HEADERS = {
    "negative shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 5), }",
    "broken expression": "{'descr': '<f4', 'fortran_order': False, 'shape': (3, ",
    "unbalanced": "{'descr': '<f4', ]]]",
    "no dictionary": "1 + 1",
    "deep": "(" * 100 + "1" + ")" * 100,
    "more than there is": "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99), }",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "texts": "{'descr': '<U4', 'fortran_order': False, 'shape': (3,), }",
    "type of nothing": "{'descr': 'q9', 'fortran_order': False, 'shape': (3,), }",
    "huge number": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 60 + ",), }",
}


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("name", HEADERS)
def test_numpy_headers(tmp_path: Path, name: str, mapped: bool) -> None:
    path = tmp_path / "embeddings.npy"
    path.write_bytes(npy(HEADERS[name]))
    with pytest.raises(DatasetError) as caught:
        read_npy(path, DatasetError, mapped)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "heads.npz", "w") as archive:
        archive.writestr("a.npy", npy(HEADERS[name]))
    with pytest.raises(DatasetError, match=r"heads\.npz"):
        read_npz(tmp_path / "heads.npz", DatasetError)


def test_the_other_kind_of_numpy_file_under_the_name(tmp_path: Path) -> None:
    one, many = tmp_path / "one.npy", tmp_path / "many.npz"
    np.savez(tmp_path / "archive.npz", a=np.zeros(3))
    (tmp_path / "archive.npz").rename(one)
    with pytest.raises(DatasetError, match="an archive of arrays; allowed: one array"):
        read_npy(one, DatasetError)
    with many.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DatasetError, match="one array; allowed: an archive"):
        read_npz(many, DatasetError)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_not_finite_numbers_are_found_wherever_they_are(kind: str) -> None:
    rng = np.random.default_rng(5)
    sound = rng.normal(size=(9000, 3)).astype(kind)
    check_finite(sound, "sound", DatasetError)
    for value in (np.nan, np.inf, -np.inf):
        row, column = int(rng.integers(9000)), int(rng.integers(3))
        bad = sound.copy()
        bad[row, column] = value
        with pytest.raises(DatasetError, match=f"row {row} holds {value}"):
            check_finite(bad, "bad", DatasetError)


DEEP = 20_000
DOCUMENTS: dict[str, tuple[str, bytes]] = {
    "deep lists": ("json", b"[" * DEEP + b"]" * DEEP),
    "deep mappings": ("json", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "not UTF-8": ("json", b'{"a": "\xff\xfe"}'),
    "endless number": ("json", b"9" * 5000),
    "deep flow": ("yaml", b"[" * DEEP),
    "deep block": ("yaml", b"- " * DEEP + b"1"),
    "latin-1": ("yaml", "k: grün".encode("latin-1")),
    "endless integer": ("yaml", b"k: " + b"9" * 5000),
    "no date": ("yaml", b"k: 2001-99-99"),
    "tag": ("yaml", b"!!python/object/apply:os.system [true]"),
    "unhashable": ("yaml", b"{[1, 2]: 3}"),
    "unknown alias": ("yaml", b"k: *a"),
    "control characters": ("yaml", b"k: \x01\x02"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_that_break_parsers(tmp_path: Path, name: str) -> None:
    suffix, content = DOCUMENTS[name]
    path = tmp_path / f"document.{suffix}"
    path.write_bytes(content)
    read = read_json if suffix == "json" else read_yaml
    with pytest.raises(DatasetError) as caught:
        read(path, DatasetError)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 600


def test_aliases_that_unfold_to_gigabytes_are_one_short_line(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "robot.yaml"
    path.write_text("\n".join([*lines, "motion: *a11"]))
    with pytest.raises(VinnError) as caught:
        load_robot_config(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 2000


def test_a_network_that_is_no_text(tmp_path: Path) -> None:
    """The hashes are right: whoever made this artefact meant it so."""
    from tiny_encoder import write_tiny_encoder
    from vinn.demos.files import sha256_file
    from vinn.encoders.artefact import EncoderManifest

    folder = write_tiny_encoder(tmp_path / "encoder")
    manifest = EncoderManifest.model_validate_json((folder / "manifest.json").read_bytes())
    rng = np.random.default_rng(8)
    xml = (folder / "model.xml").read_bytes()
    broken = [xml.replace(b"<net", b"<\xff\xfenet"), b"\xff" * 200, xml[: len(xml) // 2]]
    broken += [xml[:place] + b"\xe9\xff" + xml[place:] for place in rng.integers(0, len(xml), 6)]
    refused = 0
    for content in broken:
        (folder / "model.xml").write_bytes(content)
        files = {**manifest.files, "model.xml": sha256_file(folder / "model.xml")}
        fresh = manifest.model_copy(update={"files": files})
        fresh = fresh.model_copy(update={"hash": fresh.computed_hash()})
        (folder / "manifest.json").write_text(fresh.model_dump_json())
        try:
            load_encoder(folder)
        except VinnError as error:
            refused += 1
            assert "model.xml" in str(error) and "\n" not in str(error)
    assert refused >= 3


def test_texts_of_a_table_are_checked_where_it_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sound = io.BytesIO()
    pq.write_table(pa.table({"file": ["frames/000000.jpg"]}), sound, compression="none")
    content = sound.getvalue().replace(b"frames/000000.jpg", b"frames/\xff00000.jpg")
    path = tmp_path / "frames.parquet"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"frames\.parquet"):
        read_table(path, DatasetError)
