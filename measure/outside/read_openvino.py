"""OpenVINO alone runs an encoder artefact: the network is a plain IR."""

import sys
from pathlib import Path

import numpy
import openvino
from truth import read, works

folder, truth = read(sys.argv)
(model,) = Path(folder, "encoder").glob("*.xml")
network = openvino.Core().compile_model(str(model), "CPU")
shape = [1, *[side.get_length() for side in list(network.input(0).partial_shape)[1:]]]
answer = network(numpy.zeros(shape, numpy.float32))[network.output(0)]
assert answer.shape == (1, len(truth["embedding"]))
works(f"{model.name}: input {shape}, {answer.shape[1]} features")
