"""What a policy says to one image: python examples/01_predict.py POLICY IMAGE"""

import sys
from pathlib import Path

from vinn.demos.frames import read_image
from vinn.policies.artefact import load_policy

policy_dir, image = map(Path, sys.argv[1:])
policy = load_policy(policy_dir)
policy.reset()  # a rollout begins
prediction = policy.predict(read_image(image))
right, down, forward = prediction.camera_delta
print(f"right {right:+.4f}, down {down:+.4f}, forward {forward:+.4f}")
print(f"actions are {prediction.action_scale.value}")
print(f"gripper {prediction.gripper_value:.2f} (0 open, 3 closed)")
print(f"novelty {prediction.novelty:.2f} (above 1: unlike the demonstrations)")
