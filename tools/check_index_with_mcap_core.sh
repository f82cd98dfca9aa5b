#!/usr/bin/env bash
# Whether @mcap/core, the reader of Foxglove, finds every message of a recording by its index.
#
# Usage: tools/check_index_with_mcap_core.sh RECORDING.mcap
# Exit code 0: as many messages as the file's statistics say; 1: fewer, or no index. Needs node and
# npm, and installs the pinned package in a temporary folder. Not part of the tests.
set -euo pipefail
if [ $# != 1 ] || [ ! -f "$1" ]; then
    echo "usage: $0 RECORDING.mcap" >&2
    exit 2
fi
recording="$(realpath "$1")"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @mcap/core@2.2.2 @mcap/nodejs@1.0.2 >&2
cat > read.mjs <<'END'
import { open } from "node:fs/promises";
import { McapIndexedReader } from "@mcap/core";
import { FileHandleReadable } from "@mcap/nodejs";
const file = await open(process.argv[2], "r");
const reader = await McapIndexedReader.Initialize({ readable: new FileHandleReadable(file) });
let found = 0n;
const topics = new Set();
for await (const message of reader.readMessages()) {
  found += 1n;
  topics.add(reader.channelsById.get(message.channelId).topic);
}
const said = reader.statistics?.messageCount ?? -1n;
console.log(`@mcap/core 2.2.2: ${found} of ${said} messages on ${topics.size} topics, ` +
  `${reader.chunkIndexes.length} chunks`);
await file.close();
process.exit(found === said && found > 0n ? 0 : 1);
END
node read.mjs "$recording"
