#!/usr/bin/env bash
# Finding: Meta-World's first picture after a reset shows the goal's marker where it was before.
#
# metaworld 3.1.1, mujoco 3.3.0, gymnasium 1.4.0; push-v3, push-back-v3 and reach-v3.
# reset() computes the positions of everything and moves the goal's marker afterwards, so that
# data.site("goal").xpos, and with it what is drawn, is still the marker's place in the episode before
# (in a new environment: of the model's file) until the first step. The expert's observation has the
# new place. Demonstrations whose first frame is the picture after reset() therefore show a goal that
# the action does not go to. What step() does, environment._set_pos_site for each of
# environment._target_site_config, puts the marker where the goal is.
#
# Output seen:
#   metaworld 3.1.1, mujoco 3.3.0
#   push-v3: after reset() the marker is drawn 11.3 cm from the goal; after one step 0.0 cm
#   push-back-v3: after reset() the marker is drawn 11.3 cm from the goal; after one step 0.0 cm
#   reach-v3: after reset() the marker is drawn 18.4 cm from the goal; after one step 0.0 cm
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    'metaworld==3.1.1' 'mujoco==3.3.0' 'gymnasium[mujoco]==1.4.0' packaging==26.3

cat > "$folder/check.py" <<'CODE'
import warnings
from importlib.metadata import version

import numpy as np

warnings.simplefilter("ignore")
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE as ENVIRONMENTS

print(f"metaworld {version('metaworld')}, mujoco {version('mujoco')}")
late = {}
for name in ("push-v3", "push-back-v3", "reach-v3"):
    environment = ENVIRONMENTS[f"{name}-goal-observable"](seed=0)
    environment._freeze_rand_vec = False
    environment.seeded_rand_vec = True
    away_m = []
    for seed in (1, 2):
        environment.seed(seed)
        environment.reset()
        away_m.append(np.linalg.norm(environment.data.site("goal").xpos - environment._target_pos))
    environment.step(np.zeros(4))
    after_m = np.linalg.norm(environment.data.site("goal").xpos - environment._target_pos)
    late[name] = bool(away_m[-1] > 0.01 and after_m < 0.001)
    print(
        f"{name}: after reset() the marker is drawn {100 * away_m[-1]:.1f} cm from the goal; "
        f"after one step {100 * after_m:.1f} cm"
    )
if not all(late.values()):
    raise SystemExit(f"behaviour changed: late {late}")
CODE
"$folder/venv/bin/python" "$folder/check.py"
