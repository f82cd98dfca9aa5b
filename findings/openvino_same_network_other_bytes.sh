#!/bin/sh
# OpenVINO 2026.4.1: the same network, built and saved twice by one process, is saved as other bytes.
#
# Behaviour: operations, outputs and tensors that were given no name get one with a number that counts
#   through the life of the process (Multiply_4, Multiply_24, ...), and `save_model` writes those names
#   into the .xml. The weights (.bin) are equal. So a hash over the saved file says how many networks
#   the process has built before, and not which network it is. Two saves of one and the same model are
#   equal, and so is what was read back and saved again. Naming every operation, and the tensors of
#   inputs and outputs, before saving makes the bytes equal.
# Output seen:
#   openvino 2026.4.1
#   built twice, saved twice: xml differs, bin equal
#   first name that differs: Multiply_4 / Multiply_24
#   one model saved twice: xml equal
#   names given by hand: xml equal
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import re
import sys
from pathlib import Path

import numpy as np
import openvino
import openvino.opset13 as ops

folder = Path(sys.argv[1])


def network():
    image = ops.parameter([1, 3], openvino.Type.f32)
    product = ops.multiply(image, ops.constant(np.full((1, 1), 2.0, np.float32)))
    return openvino.Model([ops.result(product)], [image], "net")


def named(model):
    model.input(0).get_tensor().set_names({"image"})
    model.output(0).get_tensor().set_names({"embedding"})
    for number, operation in enumerate(model.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    return model


def saved(model, name):
    openvino.save_model(model, folder / f"{name}.xml")
    return (folder / f"{name}.xml").read_bytes(), (folder / f"{name}.bin").read_bytes()


def said(first, second):
    return "equal" if first == second else "differs"


print("openvino", openvino.__version__.partition("-")[0])
first, second = saved(network(), "first"), saved(network(), "second")
print(f"built twice, saved twice: xml {said(first[0], second[0])}, bin {said(first[1], second[1])}")
names = [re.findall(rb'name="(Multiply_\d+)"', xml)[0].decode() for xml, _ in (first, second)]
print("first name that differs:", " / ".join(names))
model = network()
once, twice = saved(model, "once"), saved(model, "twice")
print("one model saved twice: xml", said(once[0], twice[0]))
by_hand = [saved(named(network()), f"named{i}")[0] for i in range(2)]
print("names given by hand: xml", said(*by_hand))
as_stated = (
    first[0] != second[0]
    and first[1] == second[1]
    and names[0] != names[1]
    and once == twice
    and by_hand[0] == by_hand[1]
)
sys.exit(0 if as_stated else 1)
PY
