/** The reference of the entry points consists of doc comments, so none may be missing. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { parseAst } from "rolldown/parseAst";
import { entries } from "../../site/entries.ts";
import { ROOT } from "../../site/pages.ts";

type Program = ReturnType<typeof parseAst>;
type Statement = Program["body"][number];

interface Place {
  readonly file: string;
  readonly name: string;
}

class Module {
  readonly text: string;
  readonly body: readonly Statement[];

  constructor(file: string) {
    this.text = readFileSync(path.join(ROOT, file), "utf8");
    this.body = parseAst(this.text, { lang: "ts" }).body;
  }

  /** Whether a doc comment ends where `start` begins. */
  isCommentedAt(start: number): boolean {
    const before = this.text.slice(0, start).replace(/(?:\s*\/\/.*)*\s*$/, "");
    const comment = before.slice(Math.max(before.lastIndexOf("/**"), 0));
    return comment.startsWith("/**") && comment.indexOf("*/") === comment.length - 2;
  }
}

const modules = new Map<string, Module>();
function moduleOf(file: string): Module {
  const found = modules.get(file) ?? new Module(file);
  modules.set(file, found);
  return found;
}

function resolved(from: string, specifier: string): string {
  return path.posix.join(path.posix.dirname(from), specifier);
}

/** What a module exports, and where that is written. */
function exportsOf(file: string): Map<string, Place> {
  const found = new Map<string, Place>();
  for (const statement of moduleOf(file).body) {
    if (statement.type === "ExportAllDeclaration" && statement.source.value.startsWith(".")) {
      for (const [name, place] of exportsOf(resolved(file, statement.source.value))) found.set(name, place);
    }
    if (statement.type !== "ExportNamedDeclaration") continue;
    for (const { local, exported } of statement.specifiers) {
      const source = statement.source === null ? file : resolved(file, statement.source.value);
      found.set(nameOf(exported), { file: source, name: nameOf(local) });
    }
    const name = statement.declaration === null ? null : declaredName(statement.declaration);
    if (name !== null) found.set(name, { file, name });
  }
  return found;
}

function nameOf(node: { readonly type: string }): string {
  return "name" in node ? String(node.name) : "";
}

function declaredName(declaration: object): string | null {
  if ("declarations" in declaration) {
    const [first] = declaration.declarations as { readonly id: { readonly type: string } }[];
    return first === undefined ? null : nameOf(first.id);
  }
  return "id" in declaration && declaration.id !== null ? nameOf(declaration.id as { readonly type: string }) : null;
}

interface Member {
  readonly type: string;
  readonly start: number;
  readonly key?: { readonly type: string };
  readonly kind?: string;
  readonly accessibility?: string | null;
}

/** Names without a doc comment: the declaration itself, methods of classes, and members of options. */
function undocumented({ file, name }: Place): readonly string[] {
  const { body } = moduleOf(file);
  for (const statement of body) {
    if (statement.type === "ImportDeclaration") {
      const specifier = statement.specifiers.find(({ local }) => local.name === name);
      if (specifier === undefined || !statement.source.value.startsWith(".")) continue;
      const imported = "imported" in specifier ? nameOf(specifier.imported) : "default";
      return undocumented({ file: resolved(file, statement.source.value), name: imported });
    }
    const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
    if (declaration === null || declaredName(declaration) !== name) continue;
    const missing = moduleOf(file).isCommentedAt(statement.start) ? [] : [`${name} (${file})`];
    const members = membersOf(declaration, name).filter(({ start }) => !moduleOf(file).isCommentedAt(start));
    return [...missing, ...members.map(({ key }) => `${name}.${nameOf(key ?? { type: "" })} (${file})`)];
  }
  const elsewhere = exportsOf(file).get(name);
  assert.ok(elsewhere !== undefined && elsewhere.file !== file, `${name} is not declared in ${file}`);
  return undocumented(elsewhere);
}

function membersOf(declaration: object, name: string): readonly Member[] {
  if (
    !("body" in declaration) ||
    !("type" in declaration) ||
    !/^(?:TSInterface|Class)/.test(String(declaration.type))
  ) {
    return [];
  }
  const { body: members } = declaration.body as { readonly body: readonly Member[] };
  if (declaration.type === "TSInterfaceDeclaration") return name.endsWith("Options") ? members : [];
  const seen = new Set<string>();
  return members.filter(({ type, key, kind, accessibility }) => {
    if (type !== "MethodDefinition" || key === undefined || key.type === "PrivateIdentifier") return false;
    // overloads share the comment of the first
    const isFirst = !seen.has(nameOf(key));
    seen.add(nameOf(key));
    return isFirst && kind !== "constructor" && accessibility !== "private" && nameOf(key) !== "";
  });
}

test("every exported name, method and option has a doc comment", () => {
  const missing = new Set<string>();
  let names = 0;
  for (const { source } of entries()) {
    assert.ok(existsSync(path.join(ROOT, source)), source);
    for (const place of exportsOf(source).values()) {
      names++;
      for (const one of undocumented(place)) missing.add(one);
    }
  }
  assert.ok(names > 300, `${names} names`);
  assert.deepEqual([...missing], []);
});
