#!/usr/bin/env bash
# mcap 1.6.0 (Python): Writer.add_metadata() puts a record before the messages that were added first.
#
# With chunks (the default), messages wait in memory until their chunk is full, while a metadata
# record goes to the file at once. So what is added last, how a recording ended, say, stands before
# the messages that led to it: a copy of a finished file that breaks off half way has the ending and
# not the messages, and a reader of the stream sees the ending first. Calling flush() (since 1.5)
# before add_metadata() keeps the order; without chunks it is kept anyway.
#
# Output seen:
#   mcap 1.6.0
#   default:       Metadata, 100 x Message
#   flush() first: 100 x Message, Metadata
#   no chunks:     100 x Message, Metadata
#   first half of the default file: Metadata of the ending 1, messages 0
#
# Exit code 0: so it is still; 1: it has changed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check mcap==1.6.0
cat > check.py <<'END'
import io
import itertools
import sys
from importlib.metadata import version

from mcap.exceptions import EndOfFile
from mcap.records import Message, Metadata
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer


def written(flush=False, **settings):
    out = io.BytesIO()
    writer = Writer(out, compression=CompressionType.NONE, **settings)
    writer.start()
    schema = writer.register_schema("example", "jsonschema", b"{}")
    channel = writer.register_channel("/example", "json", schema)
    for i in range(100):
        writer.add_message(channel, log_time=i, data=b"{}" * 50, publish_time=i)
    if flush:
        writer.flush()
    writer.add_metadata("ending", {"reason": "success"})
    writer.finish()
    return out.getvalue()


def kinds(data):
    found = []
    try:
        for record in StreamReader(io.BytesIO(data)).records:
            if isinstance(record, (Message, Metadata)):
                found.append(type(record).__name__)
    except (EndOfFile, ValueError):
        pass
    return found


def short(names):
    groups = [(name, len(list(group))) for name, group in itertools.groupby(names)]
    return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in groups)


print("mcap", version("mcap"))
default = written()
seen = [short(kinds(d)) for d in (default, written(flush=True), written(use_chunking=False))]
for title, what in zip(("default:", "flush() first:", "no chunks:"), seen):
    print(title.ljust(14), what)
half = kinds(default[: len(default) // 2])
print(f"first half of the default file: Metadata of the ending {half.count('Metadata')}, "
      f"messages {half.count('Message')}")
ordered = "100 x Message, Metadata"
same = seen == ["Metadata, 100 x Message", ordered, ordered] and half == ["Metadata"]
sys.exit(0 if same else 1)
END
venv/bin/python check.py
