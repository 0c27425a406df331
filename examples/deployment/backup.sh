#!/bin/sh
# Copies a disk store while servers use it: backup.sh /var/lib/fixity /backup/fixity. Needs rsync; TARGET may be HOST:PATH.
# A copy holds every file whose link was returned before the start, and may hold later ones.
set -eu
store=${1:?usage: backup.sh STORE TARGET}
target=${2:?usage: backup.sh STORE TARGET}

# A blob never changes. What the copy has is not replaced, so that damage in the store does not reach it; and it is not
# removed when the store's is. Unfinished uploads (staging/, uploads/) are not copied.
copy_blobs() {
  rsync -a --ignore-existing "$store/blobs" "$target/"
}

copy_blobs
if [ -d "$store/documents" ]; then
  # Documents change. The copy is right when a further pass finds nothing to do.
  attempt=1
  until changes=$(rsync -ai --delete "$store/documents" "$target/") && [ -z "$changes" ]; do
    attempt=$((attempt + 1))
    if [ "$attempt" -gt 10 ]; then
      echo "backup.sh: documents change faster than they are copied" >&2
      exit 1
    fi
  done
fi
if [ -f "$store/layout-version" ]; then rsync -a "$store/layout-version" "$target/"; fi
# Documents may name blobs that came after the first pass.
copy_blobs
