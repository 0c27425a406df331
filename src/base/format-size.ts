/** A size for people, in the largest unit of which there is at least one: `5 GiB`, `1.5 MiB`. */
export function formatSize(bytes: number): string {
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
  const exact = bytes === 1 ? "1 byte" : `${bytes.toLocaleString("en-US")} bytes`;
  return bytes < 1024 ? exact : `${formatSize(bytes)} (${exact})`;
}
