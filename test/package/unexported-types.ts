import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * A small reader of the declaration files that `tsc` writes: which types an entry's public signatures mention, directly or
 * through other types, and which of those the entry does not export. The compiler that this repository uses has no
 * JavaScript API, so the files are read as text. That works because they are generated: a statement begins at the start of
 * a line, types have PascalCase names, and members stand on lines of their own.
 */

/** A name in a module: where a type is declared. */
interface Place {
  readonly file: string;
  readonly name: string;
}

interface Declaration extends Place {
  readonly text: string;
}

interface DeclarationFile {
  /** Declared here, by name. */
  readonly declared: ReadonlyMap<string, string>;
  /** Imported by relative paths, by local name. */
  readonly imported: ReadonlyMap<string, Place>;
  /** Exported, by the name outside; with whether only its type is. */
  readonly exported: ReadonlyMap<string, Place & { readonly isTypeOnly: boolean }>;
  /** Modules of which everything is exported, too. */
  readonly starred: readonly { readonly file: string; readonly isTypeOnly: boolean }[];
}

const STATEMENT = /^(?=(?:export|import|declare|abstract|class|interface|type|enum|const|function)\b)/m;
const DECLARATION =
  /^(export )?(?:default )?(?:declare )?(?:abstract )?(?:class|interface|type|enum|const|let|function) ([\w$]+)/;

export class DeclarationFiles {
  readonly #files = new Map<string, Promise<DeclarationFile>>();

  /** Names of the types that an entry exports. */
  async exportedTypes(entry: string): Promise<string[]> {
    const names: string[] = [];
    for (const [name, place] of await this.#exportsOf(entry)) {
      const declaration = await this.#find(place);
      if (declaration !== null && isType(declaration)) names.push(name);
    }
    return names.sort();
  }

  /** Types that the signatures of an entry mention and that it does not export, as `Name (file)`. */
  async unexportedTypes(entry: string): Promise<string[]> {
    const exported = new Set<string>();
    const queue: { readonly declaration: Declaration; readonly isTypeOnly: boolean }[] = [];
    for (const place of (await this.#exportsOf(entry)).values()) {
      const declaration = await this.#find(place);
      if (declaration === null) continue;
      exported.add(keyOf(declaration));
      queue.push({ declaration, isTypeOnly: place.isTypeOnly });
    }
    const seen = new Set<string>();
    const missing = new Set<string>();
    for (const { declaration, isTypeOnly } of queue) {
      if (seen.has(keyOf(declaration))) continue;
      seen.add(keyOf(declaration));
      if (isType(declaration) && !exported.has(keyOf(declaration))) missing.add(keyOf(declaration));
      for (const mentioned of await this.#mentionedBy(declaration, isTypeOnly)) {
        queue.push({ declaration: mentioned, isTypeOnly: true });
      }
    }
    return [...missing].sort();
  }

  async #exportsOf(file: string): Promise<Map<string, Place & { readonly isTypeOnly: boolean }>> {
    const { exported, starred } = await this.#read(file);
    const all = new Map<string, Place & { readonly isTypeOnly: boolean }>();
    for (const { file: other, isTypeOnly } of starred) {
      for (const [name, place] of await this.#exportsOf(other)) {
        if (name !== "default") all.set(name, { ...place, isTypeOnly: isTypeOnly || place.isTypeOnly });
      }
    }
    for (const [name, place] of exported) all.set(name, place);
    return all;
  }

  /** Follows imports and exports to the declaration; `null` for what another package declares. */
  async #find({ file, name }: Place): Promise<Declaration | null> {
    const { declared, imported } = await this.#read(file);
    const text = declared.get(name);
    if (text !== undefined) return { file, name, text };
    const source = imported.get(name);
    if (source !== undefined) return this.#find(source);
    const exported = (await this.#exportsOf(file)).get(name);
    return exported === undefined || (exported.file === file && exported.name === name) ? null : this.#find(exported);
  }

  async #mentionedBy(declaration: Declaration, isTypeOnly: boolean): Promise<Declaration[]> {
    const { file, text } = declaration;
    let types = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, (literal) => (/^"\.\.?\//.test(literal) ? literal : '""'));
    // who has only the type of a class cannot call its constructor
    if (isTypeOnly || /^ +(?:private|protected) constructor/m.test(types)) {
      types = types.replaceAll(/^ +(?:private |protected )?constructor\(.*$/gm, "");
    }
    types = types.replaceAll(/^( +(?:(?:readonly|static|get|set|abstract|declare) )*)[\w$]+(?=\??[:(<])/gm, "$1");
    const found: (Declaration | null)[] = [];
    for (const [, path, name] of types.matchAll(/import\("(\.[^"]+)"\)\.(\w+)/g)) {
      if (path !== undefined && name !== undefined) {
        found.push(await this.#find({ file: resolvePath(file, path), name }));
      }
    }
    for (const [, keyword, name] of types.matchAll(/(?<![.\w$#])(typeof )?([A-Za-z_$][\w$]*)/g)) {
      if (name !== undefined && (keyword !== undefined || /^[A-Z]/.test(name))) {
        found.push(await this.#find({ file, name }));
      }
    }
    return found.filter((one) => one !== null);
  }

  #read(file: string): Promise<DeclarationFile> {
    const read = this.#files.get(file) ?? readDeclarations(file);
    this.#files.set(file, read);
    return read;
  }
}

async function readDeclarations(file: string): Promise<DeclarationFile> {
  const text = (await readFile(file, "utf8")).replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const declared = new Map<string, string>();
  const imported = new Map<string, Place>();
  const exported = new Map<string, Place & { isTypeOnly: boolean }>();
  const starred: { file: string; isTypeOnly: boolean }[] = [];
  for (const statement of text.split(STATEMENT)) {
    const source = /\bfrom "(\.[^"]+)"/.exec(statement)?.[1];
    const from = source === undefined ? null : resolvePath(file, source);
    const listed = /^(import|export)( type)? (?:\w+, )?\{([^}]*)\}/.exec(statement);
    const star = /^export( type)? \* from/.exec(statement);
    const declaration = DECLARATION.exec(statement);
    if (star !== null && from !== null) starred.push({ file: from, isTypeOnly: star[1] !== undefined });
    else if (listed !== null) {
      for (const { name, alias, isTypeOnly } of specifiersOf(listed[3] ?? "")) {
        if (listed[1] === "import" && from !== null) imported.set(alias, { file: from, name });
        if (listed[1] === "export" && (from !== null || !statement.includes(" from "))) {
          exported.set(alias, { file: from ?? file, name, isTypeOnly: isTypeOnly || listed[2] !== undefined });
        }
      }
    } else if (declaration?.[2] !== undefined) {
      const name = declaration[2];
      // overloads are one declaration
      declared.set(name, (declared.get(name) ?? "") + statement);
      if (declaration[1] !== undefined) exported.set(name, { file, name, isTypeOnly: false });
    }
  }
  return { declared, imported, exported, starred };
}

function specifiersOf(list: string): { name: string; alias: string; isTypeOnly: boolean }[] {
  return list.split(",").flatMap((specifier) => {
    const [, type, name, alias] = /^\s*(type )?([\w$]+)(?: as ([\w$]+))?\s*$/.exec(specifier) ?? [];
    return name === undefined ? [] : [{ name, alias: alias ?? name, isTypeOnly: type !== undefined }];
  });
}

function isType({ text }: Declaration): boolean {
  return /^(?:export )?(?:default )?(?:declare )?(?:abstract )?(?:class|interface|type|enum) /.test(text);
}

function keyOf({ file, name }: Place): string {
  return `${name} (${file})`;
}

function resolvePath(file: string, path: string): string {
  return join(dirname(file), path.replace(/\.[jt]s$/, ".d.ts"));
}
