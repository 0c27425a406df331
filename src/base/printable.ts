/**
 * `text` for a terminal or a log line: control and format characters and line separators become
 * `\u{…}`, so that no text from outside moves the cursor, breaks the line or reverses the direction
 * of writing.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ""}}`,
  );
}
