#!/usr/bin/env bash
# Runs a part of the tests on the newest Node that npm provides: streams, hooks and hashing, the disk store, HTTP by
# each adapter, and the start of the command. Does nothing if the installed Node is of the same major version.
set -euo pipefail
cd "$(dirname "$0")/.."

newest=$(npm view node version)
installed=$(node_modules/.bin/node -p process.versions.node)
if [ "${newest%%.*}" = "${installed%%.*}" ]; then
  echo "The newest Node is $newest, and the tests have run on $installed: there is no other version to try."
  exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '{ "private": true, "allowScripts": { "node": true } }' >"$folder/package.json"
npm install --prefix "$folder" --no-save --loglevel=error "node@$newest"

echo "Node $newest:"
NODE_COMPILE_CACHE="$folder/cache" "$folder/node_modules/.bin/node" --test --test-concurrency=3 --test-reporter=dot \
  src/core/{intake,hooks,closing}.test.ts src/stores/disk/disk-store.test.ts \
  test/protocol/adapters.test.ts test/server/start.test.ts
