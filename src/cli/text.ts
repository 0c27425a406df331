import { styleText } from "node:util";
import { print } from "./output.ts";

type Style = Parameters<typeof styleText>[0];

/** Text in a style, where standard output shows some and the user wants them (`NO_COLOR`). */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** One thing or several: `1 blob`, `3 blobs`, `1,204 blobs`. */
export function counted(count: number, one: string, several: string = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : several}`;
}

/** Text in lines of at most `width` characters, behind `indent` spaces each. Words longer than that stay whole. */
export function wrapped(text: string, indent: number, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((line) => " ".repeat(indent) + line);
}

/** A line of JSON for programs. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value)}\n`);
}
