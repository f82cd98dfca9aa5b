"""The reader of MCAP that Foxglove publishes decodes every message by the file's definitions."""

import sys
from pathlib import Path

from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from truth import close, read, works

folder, truth = read(sys.argv)
images, deltas = 0, []
with Path(folder, "recording.mcap").open("rb") as file:
    reader = make_reader(file, decoder_factories=[DecoderFactory()])
    summary = reader.get_summary()
    count = 0
    for _, channel, _, message in reader.iter_decoded_messages():
        count += 1
        images += channel.topic == truth["wrist_topic"]
        if channel.topic == "/policy/prediction":
            deltas.append([getattr(message.camera_delta, axis) for axis in "xyz"])
assert count == summary.statistics.message_count > 0
assert summary.chunk_indexes
assert images == truth["images"]
assert close(deltas, truth["predictions"])
works(f"{count} messages decoded, {len(deltas)} predictions equal, {images} images")
