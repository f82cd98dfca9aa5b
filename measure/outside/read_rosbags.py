"""rosbags reads exported rosbag2 directories and their messages."""

import sys
from pathlib import Path

from rosbags.highlevel import AnyReader
from truth import read, works

folder, truth = read(sys.argv)
bags = sorted(path for path in Path(folder, "rosbag2").iterdir() if path.is_dir())
assert len(bags) == truth["demonstrations"]
images = 0
for bag in bags:
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            images += connection.msgtype == "sensor_msgs/msg/CompressedImage"
            assert message is not None
assert images == truth["frames"]
works(f"{images} of {truth['frames']} frames in {len(bags)} exported directories")
