#!/bin/sh
# OpenVINO 2026.4.1: unloading its CPU plugin may leave a thread with a signal stack that is no longer mapped.
#
# Behaviour: loading the CPU plugin gives the calling thread an alternate stack for signals (sigaltstack),
#   with room for wide registers; unloading it (with the last Core, compiled network or request of it)
#   sets the stack back that it found, if its own is still in place, and unmaps its own. Of two plugins,
#   the second one finds the first one's stack: dropped in the order of loading, the second sets back an
#   address that the first has unmapped. Dropped by another thread, the stack of the thread that loaded
#   it stays set and is unmapped. Processes in that state were later seen to end by SIGSEGV, from the
#   kernel and without an address, while they slept, with nothing of OpenVINO in any thread and nothing
#   said by faulthandler. Dropped in the reverse order, or one Core kept for good: all is well. This
#   script looks at the stack alone; nothing ends here.
# Output seen:
#   openvino 2026.4.1
#   dropped in the order of loading: stack not mapped
#   dropped by another thread: stack not mapped
#   dropped in the reverse order: stack none
#   one Core for both: stack mapped
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cat >"$folder/one.py" <<'PY'
import ctypes
import sys
import threading

import openvino


class Stack(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def stack():
    found = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    if not found.base:
        return "none"
    with open("/proc/self/maps") as maps:
        spans = [line.split()[0].split("-") for line in maps]
    held = any(int(low, 16) <= found.base < int(high, 16) for low, high in spans)
    return "mapped" if held else "not mapped"


def used():
    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")
    return core


how = sys.argv[1]
cores = [used()] if how == "one Core for both" else [used(), used()]
if how == "dropped by another thread":
    thread = threading.Thread(target=cores.clear)
    thread.start()
    thread.join()
elif how != "one Core for both":
    while cores:
        cores.pop(0 if how == "dropped in the order of loading" else -1)
print(f"{how}: stack {stack()}")
PY
"$folder/venv/bin/python" -c 'import openvino; print("openvino", openvino.__version__.partition("-")[0])'
changed=0
check() {
    said=$("$folder/venv/bin/python" "$folder/one.py" "$1")
    echo "$said"
    [ "$said" = "$1: stack $2" ] || changed=1
}
check "dropped in the order of loading" "not mapped"
check "dropped by another thread" "not mapped"
check "dropped in the reverse order" "none"
check "one Core for both" "mapped"
exit $changed
