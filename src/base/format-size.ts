/** A size for people, in the largest unit of which there is at least one: `5 GiB`, `1,000 bytes`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return inBytes(bytes);
  const names = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let index = 0;
  while (value >= 1024 && index < names.length - 1) {
    value /= 1024;
    index++;
  }
  return `${Number(value.toFixed(1))} ${names[index]}`;
}

/** A size for people, and exactly: `5 GiB (5,368,709,120 bytes)`, `1 byte`. */
export function formatExactSize(bytes: number): string {
  return bytes < 1024 ? inBytes(bytes) : `${formatSize(bytes)} (${inBytes(bytes)})`;
}

function inBytes(bytes: number): string {
  return bytes === 1 ? "1 byte" : `${bytes.toLocaleString("en-US")} bytes`;
}
