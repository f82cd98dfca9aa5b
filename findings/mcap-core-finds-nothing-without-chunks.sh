#!/usr/bin/env bash
# @mcap/core 2.2.2 (npm) with @mcap/nodejs 1.0.2, on a file of mcap 1.6.0 (Python).
#
# A valid, finished MCAP file whose messages stand outside chunks (use_chunking=False, as a recorder
# writes that must lose nothing when it is killed) has statistics that count its messages, but no
# chunk index, for there are no chunks. McapIndexedReader opens it without an error or a warning and
# yields no message at all; McapStreamReader yields all of them. The same messages in chunks: all.
#
# Output seen:
#   mcap 1.6.0, @mcap/core 2.2.2
#   without chunks: statistics say 50, indexed reader 0, stream reader 50
#   with chunks:    statistics say 50, indexed reader 50, stream reader 50
#
# Exit code 0: so it is still; 1: it has changed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check mcap==1.6.0
npm install --silent --no-audit --no-fund @mcap/core@2.2.2 @mcap/nodejs@1.0.2 >&2
cat > write.py <<'END'
from mcap.writer import CompressionType, Writer

for name, chunked in (("without", False), ("with", True)):
    with open(f"{name}.mcap", "wb") as file:
        writer = Writer(file, use_chunking=chunked, compression=CompressionType.NONE)
        writer.start()
        schema = writer.register_schema("example", "jsonschema", b"{}")
        channel = writer.register_channel("/example", "json", schema)
        for i in range(50):
            writer.add_message(channel, log_time=i, data=b"{}", publish_time=i)
        writer.finish()
END
venv/bin/python write.py
cat > read.mjs <<'END'
import { open, readFile } from "node:fs/promises";
import { McapIndexedReader, McapStreamReader } from "@mcap/core";
import { FileHandleReadable } from "@mcap/nodejs";
const counts = {};
for (const name of ["without", "with"]) {
  const file = await open(`${name}.mcap`, "r");
  const reader = await McapIndexedReader.Initialize({ readable: new FileHandleReadable(file) });
  let indexed = 0;
  for await (const _ of reader.readMessages()) indexed += 1;
  await file.close();
  const stream = new McapStreamReader();
  stream.append(await readFile(`${name}.mcap`));
  let streamed = 0;
  for (let r; (r = stream.nextRecord()); ) streamed += r.type === "Message" ? 1 : 0;
  console.log(`${(name + " chunks:").padEnd(15)} statistics say ` +
    `${reader.statistics.messageCount}, indexed reader ${indexed}, stream reader ${streamed}`);
  counts[name] = [indexed, streamed].join();
}
process.exit(counts.without === "0,50" && counts.with === "50,50" ? 0 : 1);
END
echo "mcap 1.6.0, @mcap/core $(node -p "require('./node_modules/@mcap/core/package.json').version")"
node read.mjs
