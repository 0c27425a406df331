/**
 * The files that were dropped or pasted, those in folders included. What cannot be read is left out.
 *
 * @param {DataTransfer | null} transfer @returns {Promise<File[]>}
 */
export async function filesIn(transfer) {
  const items = [...(transfer?.items ?? [])].filter(({ kind }) => kind === "file");
  // all at once and now: the browser forgets them when the event is over
  const found = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  const files = [];
  for (const item of found) {
    if (item instanceof File) files.push(item);
    else if (item !== null) files.push(...(await filesBelow(item)));
  }
  return files;
}

/** @param {FileSystemEntry} entry @returns {Promise<File[]>} */
async function filesBelow(entry) {
  try {
    if (isFile(entry)) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const files = [];
    for (const child of await childrenOf(/** @type {FileSystemDirectoryEntry} */ (entry))) {
      files.push(...(await filesBelow(child)));
    }
    return files;
  } catch {
    return [];
  }
}

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<FileSystemEntry[]>} */
async function childrenOf(folder) {
  const reader = folder.createReader();
  const children = [];
  for (;;) {
    /** @type {FileSystemEntry[]} a hundred at most, none at the end */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return children;
    children.push(...some);
  }
}

/** @param {FileSystemEntry} entry @returns {entry is FileSystemFileEntry} */
function isFile(entry) {
  return entry.isFile;
}
