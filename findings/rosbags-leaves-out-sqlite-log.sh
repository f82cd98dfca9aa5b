#!/usr/bin/env bash
# rosbags 0.11.9: a rosbag2 sqlite3 file is read without its write-ahead log, and nothing is said.
#
# A recorder that writes sqlite3 in WAL mode and is killed leaves NAME.db3 and NAME.db3-wal; what it
# recorded last is in the log, and any sqlite3 reads both as one database. rosbags opens the file as
# `immutable`, which tells sqlite that there is no log: it yields the messages that had already been
# moved into the file, reports their number as the recording's, and raises nothing.
#
# Output seen:
#   rosbags 0.11.9
#   sqlite3 of Python: 41 messages
#   rosbags Reader:    1 messages, message_count 1
#
# Exit code 0: so it is still; 1: it has changed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check rosbags==0.11.9
cat > check.py <<'END'
import shutil
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path

from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

store = get_typestore(Stores.ROS2_HUMBLE)
name = "std_msgs/msg/Int8"
data = bytes(store.serialize_cdr(store.types[name](data=1), name))
with Writer(Path("bag"), version=8, storage_plugin=StoragePlugin.SQLITE3) as bag:
    bag.write(bag.add_connection("/number", name, typestore=store), 0, data)
recording = sqlite3.connect("bag/bag.db3")
recording.execute("PRAGMA journal_mode=WAL")
for i in range(40):
    recording.execute(
        "INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)", (i + 1, data)
    )
recording.commit()
Path("killed").mkdir()  # what is on disk at this moment is what a killed process leaves
for file in Path("bag").glob("bag.db3*"):
    shutil.copy(file, Path("killed", file.name))
recording.close()

with Reader(Path("killed/bag.db3")) as reader:
    count, found = reader.message_count, sum(1 for _ in reader.messages())
whole = sqlite3.connect("killed/bag.db3").execute("SELECT count(*) FROM messages").fetchone()[0]
print("rosbags", version("rosbags"))
print("sqlite3 of Python:", whole, "messages")
print("rosbags Reader:   ", found, "messages, message_count", count)
sys.exit(0 if (whole, found, count) == (41, 1, 1) else 1)
END
venv/bin/python check.py
