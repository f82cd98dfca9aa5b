"""Weight files of torch, read without torch: the same numbers, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_file import KINDS, legacy_file, plain, tensor, zip_file
from vinn.encoders.state_dict import read_state_dict
from vinn.errors import ArtefactError

WRITERS = pytest.mark.parametrize("write", [legacy_file, zip_file])
Writer = Callable[..., bytes]


def some_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(), (0, 3), (7,), (3, 4), (2, 3, 4, 5)]
    return {
        f"layer{number}.{kind}": (100 * rng.normal(size=shapes[number % len(shapes)])).astype(kind)
        for number, kind in enumerate((*KINDS, *KINDS))
    }


@WRITERS
def test_every_kind_of_number_and_shape_is_read(write: Writer, tmp_path: Path) -> None:
    path, wanted = tmp_path / "weights", some_tensors()
    path.write_bytes(write(wanted))
    found = read_state_dict(path)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("zipped", [False, True])
def test_what_torch_writes_is_what_torch_reads(zipped: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    base = torch.randn(6, 8)
    state = OrderedDict(
        network.state_dict(),
        turned=base.t(),
        part=base[2:4, 1::3],
        shared=base,
        parameter=torch.nn.Parameter(torch.ones(2)),
        half=base.half(),
        brain=base.bfloat16(),
        one=torch.tensor(3),
    )
    checkpoint = tmp_path / "checkpoint"
    torch.save({"state_dict": state, "epoch": 3}, checkpoint, _use_new_zipfile_serialization=zipped)
    found = read_state_dict(checkpoint)
    assert list(found) == list(state)
    for name, value in state.items():
        wanted = value.detach()
        wanted = wanted.float() if wanted.dtype == torch.bfloat16 else wanted
        np.testing.assert_array_equal(found[name], wanted.numpy())


def making(marker: Path) -> bytes:
    """Opcodes that make a folder where they are run."""
    return b"cos\nmkdir\n(" + plain(str(marker)) + b"tR"


HOSTILE = {
    "os.system": b"cos\nsystem\n(" + plain("true") + b"tR",
    "builtins.eval": b"cbuiltins\neval\n(" + plain("1") + b"tR",
    "numpy.core.multiarray._reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n.",
    "torch.storage._load_from_bytes": b"ctorch.storage\n_load_from_bytes\n(C\x00tR",
    "torch._utils._rebuild_sparse_tensor": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
    "collections.Counter": b"ccollections\nCounter\n)R",
    "subprocess.Popen": plain("subprocess") + plain("Popen") + b"\x93",
}


@WRITERS
@pytest.mark.parametrize("name", HOSTILE)
def test_any_other_name_is_refused_by_name(write: Writer, name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(write(some_tensors(), HOSTILE[name]))
    with pytest.raises(ArtefactError) as caught:
        read_state_dict(path)
    assert str(caught.value) == (
        f"{path}: asks for '{name}'; allowed in a weight file: tensors alone"
    )


@WRITERS
def test_nothing_in_a_weight_file_is_run(write: Writer, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "weights.pth"
    path.write_bytes(write(some_tensors(), making(marker)))
    with pytest.raises(ArtefactError, match=r"'os\.mkdir'"):
        read_state_dict(path)
    path.write_bytes(b"\x80\x02" + making(marker) + b".")
    with pytest.raises(ArtefactError, match=r"'os\.mkdir'"):
        read_state_dict(path)
    assert not marker.exists()
    pickle.loads(b"\x80\x02" + making(marker) + b".")
    assert marker.exists(), "elsewhere it would have been"


@WRITERS
@pytest.mark.parametrize(
    "view",
    [
        {"shape": (9,), "strides": (1,)},
        {"shape": (2,), "strides": (8,)},
        {"shape": (4,), "strides": (1,), "offset": 5},
        {"shape": (4,), "strides": (1,), "offset": -1},
        {"shape": (2,), "strides": (-1,), "offset": 3},
        {"shape": (-2, -2), "strides": (1, 1)},
        {"shape": (10**6, 10**6), "strides": (0, 0)},
        {"shape": (2, 2), "strides": (1,)},
    ],
)
def test_views_beyond_their_storage_are_refused(
    write: Writer, view: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    legacy = write is legacy_file
    bad = tensor("0", "FloatStorage", 8, legacy=legacy, **view)  # type: ignore[arg-type]
    path.write_bytes(write({"sound": np.arange(8, dtype=np.float32)}, bad))
    with pytest.raises(ArtefactError, match="or damaged"):
        read_state_dict(path)


def test_what_changes_the_reader_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for target in (b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n"):
        path.write_bytes(legacy_file({}, target + plain({"dtype": "<f8"}) + b"b"))
        with pytest.raises(ArtefactError, match="sets attributes of"):
            read_state_dict(path)


def test_packed_archives_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for content in (
        zip_file({"zeros": np.zeros(10**6, np.float32)}, packed=True),
        b"",
        b"not a pickle",
        pickle.dumps([1, 2, 3]),
        legacy_file({}, plain("no tensor")),
        os.urandom(100),
    ):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=str(path)):
            read_state_dict(path)
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_state_dict(tmp_path / "nowhere")


@WRITERS
@given(data=st.data())
def test_damaged_files_are_one_line(
    write: Writer, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(write(some_tensors(1)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, 2 * len(content)))]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(io.BytesIO(content).getvalue())
    try:
        found = read_state_dict(path)
    except ArtefactError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in found.values())
