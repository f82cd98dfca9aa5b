"""`vinn sim`: record demonstrations in simulation, and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from vinn.cli.console import out, progress_bar
from vinn.demos.store import read_demonstration, read_frame
from vinn.errors import ConfigError
from vinn.sim.cabinets import CABINETS, cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.episode import run_expert
from vinn.sim.recording import record_demonstrations
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.world import DoorWorld
from vinn.viz.video import VideoWriter, write_video

app = typer.Typer(no_args_is_help=True)

FILM_FPS = 20.0
DEMONSTRATION_FPS = 4.0

Difficulty = Annotated[str, typer.Option(help="easy, hard or paper.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the first episode; later ones count upwards.")]


@app.command()
def record(
    out_dir: Annotated[Path, typer.Option("--out", help="New folder for the demonstrations.")],
    demos: Annotated[int, typer.Option(help="Demonstrations per cabinet.")] = 20,
    cabinets: Annotated[
        str, typer.Option(help="Names or sampled-SEED, separated by commas.")
    ] = ",".join(CABINETS),
    difficulty: Difficulty = "easy",
    seed: Seed = 0,
) -> None:
    """Let the scripted expert open doors and store what its wrist camera saw."""
    names = [name.strip() for name in cabinets.split(",")]
    with progress_bar("recording") as progress:
        discarded = record_demonstrations(out_dir, names, demos, difficulty, seed, progress)
    out.print(
        f"{out_dir}: {demos * len(names)} demonstrations, {discarded} failed episodes discarded",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def play(
    out_file: Annotated[Path, typer.Option("--out", help="The mp4 to write.")],
    demo: Annotated[
        Path | None,
        typer.Option(help="A stored demonstration; without it the expert opens a door."),
    ] = None,
    cabinet: Annotated[str, typer.Option(help="Name or sampled-SEED.")] = "oak",
    difficulty: Difficulty = "easy",
    occlusion: Annotated[Occlusion, typer.Option(help="What is covered.")] = Occlusion.NONE,
    seed: Seed = 0,
) -> None:
    """Make a video of the expert (wrist view and overview), or of a stored demonstration."""
    if out_file.suffix != ".mp4":
        raise ConfigError(f"--out {out_file}: allowed: a name that ends in .mp4")
    if demo is not None:
        stored = read_demonstration(demo)
        frames = (read_frame(path) for path in stored.frame_paths)
        write_video(out_file, frames, DEMONSTRATION_FPS)
        out.print(f"{out_file}: {len(stored)} frames of {demo}", highlight=False, soft_wrap=True)
        return
    scene = SceneConfig(
        cabinet=cabinet_named(cabinet),
        difficulty=difficulty_named(difficulty),
        occlusion=occlusion,
    )
    with DoorWorld(scene) as world, VideoWriter(out_file, FILM_FPS) as video:
        next_s = 0.0

        def film(filmed: DoorWorld) -> None:
            nonlocal next_s
            if filmed.time_s >= next_s:
                next_s = filmed.time_s + 1.0 / FILM_FPS
                video.add(_side_by_side(filmed))

        episode = run_expert(world, seed, on_wait=film)
        degrees = np.degrees(world.door_angle_rad)
    out.print(
        f"{out_file}: {len(episode.gripper)} steps, door at {degrees:.0f} degrees",
        highlight=False,
        soft_wrap=True,
    )


def _side_by_side(world: DoorWorld) -> NDArray[np.uint8]:
    overview = world.overview_image()
    height = overview.shape[0]
    wrist = world.wrist_image()
    width = round(wrist.shape[1] * height / wrist.shape[0])
    wrist = np.asarray(cv2.resize(wrist, (width, height)), dtype=np.uint8)
    return np.hstack([wrist, overview])
