"""The policy artefact: one folder with all that a policy needs on a robot.

    manifest.json    PolicyManifest
    frames.parquet   one row per frame: demonstration, frame, dx, dy, dz, gripper,
                     thumbnail_offset, thumbnail_size
    thumbnails.bin   small JPEGs, one after the other
    ...              what its kind keeps: `vinn.policies.kinds`
    encoder/         the encoder artefact it was made with, where it has one
    SHA256SUMS       of every file but those of index/, which has hashes of its own

It is built beside its goal and renamed when complete. Whatever does not belong together is refused
when it is opened, with both values named.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from vinn.demos.actions import checked_actions
from vinn.demos.checksums import check_listed, read_checksums
from vinn.encoders.artefact import check_files, parse_manifest
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.policies.artefacts.artefact import PolicyArtefact
from vinn.policies.artefacts.manifest import (
    FRAME_COLUMNS,
    SCHEMA_VERSION,
    SHARED_FILES,
    PolicyManifest,
)
from vinn.policies.kinds.kind import PolicyKind
from vinn.policies.kinds.registry import POLICY_KINDS
from vinn.policies.memory import ActionMemory
from vinn.policies.types import Policy
from vinn.reading.documents import first_problem
from vinn.reading.regular import check_regular, read_bytes
from vinn.reading.tables import read_table


def open_artefact(directory: Path) -> PolicyArtefact[Any]:
    """Open a policy artefact and check that its parts belong together.

    Raises:
        ArtefactError: a part is missing or malformed, or its kind is not installed.
        ArtefactMismatchError: parts do not belong together; both values are named.
        ConfigError: k is larger than the number of frames.
    """
    directory = Path(directory)
    path = directory / "manifest.json"
    if not directory.is_dir():
        raise ArtefactError(f"{directory}: no such policy artefact")
    manifest = parse_manifest(path, PolicyManifest)
    if manifest.schema_version != SCHEMA_VERSION:
        raise ArtefactError(
            f"{path}: schema version {manifest.schema_version}, this version reads {SCHEMA_VERSION}"
        )
    try:
        kind = POLICY_KINDS[manifest.kind]
    except ConfigError as cause:
        raise ArtefactError(f"{path}: {cause}") from cause
    settings = _settings(path, manifest, kind)
    wanted = (*SHARED_FILES, *kind.files(settings))
    if set(manifest.files) != set(wanted):
        raise ArtefactError(
            f"{path}: files must be {', '.join(wanted)}, found "
            f"{', '.join(sorted(manifest.files)) or 'none'}"
        )
    check_files(directory, manifest.files)
    kind.check(directory, manifest, settings)
    memory, spans = _read_frames(directory / "frames.parquet", manifest, len(kind.views(settings)))
    artefact = kind.artefact(directory, manifest, settings, memory, spans, kind.load)
    kind.check_rows(artefact)
    # Last: what does not belong together was named with both values above.
    listed = read_checksums(directory, ArtefactError)
    check_listed(read_bytes(path, ArtefactError), path, listed, ArtefactError)
    return artefact


def load_policy(directory: Path, threads: int = 1) -> Policy:
    """Open an artefact and make its policy, of whatever kind it is.

    Raises:
        ArtefactError, ArtefactMismatchError, ConfigError: see `open_artefact`.
    """
    return open_artefact(directory).policy(threads)


def _settings(path: Path, manifest: PolicyManifest, kind: PolicyKind[Any]) -> BaseModel:
    for section, content in manifest.sections().items():
        if (section == kind.section) != (content is not None):
            raise ArtefactError(f"{path}: kind '{manifest.kind}' and section '{section}' disagree")
    content = manifest.sections().get(kind.section or "", {})
    try:
        settings: BaseModel = kind.settings.model_validate_json(json.dumps(content))
    except ValidationError as cause:
        raise ArtefactError(f"{path}: {kind.section}.{first_problem(cause)}") from cause
    return settings


def _read_frames(
    path: Path, manifest: PolicyManifest, views: int
) -> tuple[ActionMemory, NDArray[np.int64]]:
    table = read_table(path, ArtefactError)
    if table.schema.remove_metadata() != FRAME_COLUMNS:
        raise ArtefactError(f"{path}: columns must be {', '.join(FRAME_COLUMNS.names)}")
    if table.num_rows != manifest.frame_count:
        raise ArtefactMismatchError(
            f"{path}: {table.num_rows} frames, the manifest says {manifest.frame_count}"
        )
    names, ids = np.unique(table["demonstration"].to_numpy(), return_inverse=True)
    if len(names) != manifest.demonstration_count * views:
        raise ArtefactMismatchError(
            f"{path}: {len(names)} demonstrations, the manifest says {manifest.demonstration_count}"
            + (f" in {views} views" if views > 1 else "")
        )
    memory = ActionMemory(
        camera_delta=np.stack([table[axis].to_numpy() for axis in ("dx", "dy", "dz")], axis=1),
        gripper=table["gripper"].to_numpy(),
        demonstration_ids=ids.astype(np.int64),
        frames=table["frame"].to_numpy(),
        names=tuple(str(name) for name in names),
        action_scale=manifest.action_scale,
    )
    checked_actions(
        memory.camera_delta, memory.gripper, manifest.action_scale, str(path), ArtefactError
    )
    spans = np.stack(
        [table["thumbnail_offset"].to_numpy(), table["thumbnail_size"].to_numpy()], axis=1
    )
    spans = spans.astype(np.int64)
    most = check_regular(path.with_name("thumbnails.bin"), ArtefactError)
    # Compared so that no sum of two large numbers wraps around.
    if ((spans < 0) | (spans > most)).any() or (spans[:, 0] > most - spans[:, 1]).any():
        raise ArtefactError(f"{path}: a thumbnail lies outside of thumbnails.bin ({most} bytes)")
    return memory, spans
