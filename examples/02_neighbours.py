"""The demonstration frames that resemble an image, as a list and as a picture:
python examples/02_neighbours.py POLICY IMAGE OUT.png
"""

import sys
from pathlib import Path

from PIL import Image
from vinn.demos.frames import read_image
from vinn.policies.artefact import open_artefact
from vinn.viz.mosaic import neighbor_mosaic

policy_dir, image, out = map(Path, sys.argv[1:])
artefact = open_artefact(policy_dir)
seen_rgb = read_image(image)
prediction = artefact.policy(k=5).predict(seen_rgb)
for neighbor in prediction.neighbors:
    print(f"{neighbor.demonstration} frame {neighbor.frame}: weight {neighbor.weight:.2f}")
Image.fromarray(neighbor_mosaic(seen_rgb, prediction, artefact.thumbnail)).save(out)
