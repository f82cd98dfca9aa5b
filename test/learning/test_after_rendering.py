"""What needs torch works in a process that has rendered before, and rendering goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest

RENDER = """
import mujoco

def brightness():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><light pos='0 0 3'/><geom size='0.3'/></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 32, 32) as renderer:
        renderer.update_scene(data)
        return int(renderer.render().sum())

before = brightness()
"""
LATE_IMPORTS = {
    "optimiser": """
import vinn.learning.encoder_training
import torch
weights = torch.nn.Parameter(torch.zeros(2))
optimiser = torch.optim.AdamW([weights], lr=0.1)
weights.sum().backward()
optimiser.step()
assert (weights < 0).all()
""",
    "export": """
import vinn.learning.export
import torch._dynamo
""",
    "settings": """
import vinn.learning.config
import torch._dynamo
""",
}


@pytest.mark.physics
@pytest.mark.slow
@pytest.mark.parametrize("late", LATE_IMPORTS)
def test_torch_is_loaded_after_rendering(late: str) -> None:
    # Processes of their own: a fault in a library ends the whole process.
    source = RENDER + LATE_IMPORTS[late] + "\nassert brightness() == before > 0\nprint('done')"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", source],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]
