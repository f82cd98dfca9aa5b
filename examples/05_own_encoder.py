"""An encoder of one's own, mean colours on a grid: python examples/05_own_encoder.py OUT"""

import sys
from pathlib import Path

import numpy as np
from vinn.encoders.encoder import load_encoder
from vinn.encoders.function_network import FunctionNetwork
from vinn.encoders.network import NetworkKind
from vinn.encoders.own import write_own_encoder
from vinn.encoders.preprocessing import Preprocessing
from vinn.encoders.registry import NETWORKS

ROWS, COLUMNS, CELL_PX = 6, 8, 4
RESIZED = Preprocessing(
    width_px=COLUMNS * CELL_PX, height_px=ROWS * CELL_PX, mean=(0, 0, 0), std=(1, 1, 1)
)


def mean_colours(resized_rgb):
    cells = resized_rgb.reshape(ROWS, CELL_PX, COLUMNS, CELL_PX, 3)
    return cells.mean(axis=(1, 3)).reshape(-1) / 255


def open_network(directory, manifest, threads, precision, streams):
    return FunctionNetwork("colour-grid", mean_colours, streams)


NETWORK = NetworkKind("colour-grid", open_network)

if __name__ == "__main__":
    out = Path(sys.argv[1])
    NETWORKS.add(NETWORK)
    write_own_encoder("colour-grid", "colours-6x8", RESIZED, ROWS * COLUMNS * 3, out)
    print(load_encoder(out).embed([np.full((480, 640, 3), 128, np.uint8)]).shape)
