import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** An instruction of a Dockerfile, and its text on one line. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** The instructions of the Dockerfile: those of the stage that builds, and those of the image. */
export async function dockerfile(): Promise<{ build: readonly Instruction[]; image: readonly Instruction[] }> {
  const text = await readFile(`${ROOT}Dockerfile`, "utf8");
  const lines = text
    .replace(/^#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, " ")
    .split("\n");
  const all = lines.flatMap((line) => {
    const [, name, rest] = /^([A-Z]+) +(.*)$/.exec(line) ?? [];
    return name === undefined || rest === undefined ? [] : [{ name, text: rest }];
  });
  const last = all.findLastIndex(({ name }) => name === "FROM");
  return { build: all.slice(0, last), image: all.slice(last) };
}

/** The texts of all instructions with a name. */
export function textsOf(instructions: readonly Instruction[], name: string): string[] {
  return instructions.filter((instruction) => instruction.name === name).map(({ text }) => text);
}

/** The program and arguments of an instruction that has them as JSON, such as `ENTRYPOINT`. */
export function argumentsOf(instructions: readonly Instruction[], name: string): string[] {
  return JSON.parse(/\[.*\]$/.exec(textsOf(instructions, name)[0] ?? "")?.[0] ?? "[]") as string[];
}

/** The variables that the image sets. */
export function environmentOf(instructions: readonly Instruction[]): Record<string, string> {
  const pairs = textsOf(instructions, "ENV").flatMap((text) => text.split(" "));
  return Object.fromEntries(pairs.map((pair) => pair.split("=", 2) as [string, string]));
}

/** The files and folders of the repository that are sent to the builder: those that .dockerignore names with `!`. */
export async function contextFiles(): Promise<string[]> {
  const lines = (await readFile(`${ROOT}.dockerignore`, "utf8")).split("\n");
  return lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
}
