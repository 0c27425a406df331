import { FixityError } from "../core/errors.ts";
import type { Environment } from "../settings/config.ts";
import { EXIT, SIGNAL_EXITS } from "./exit-codes.ts";
import { explainFailure, statOnce } from "./remote-failure.ts";
import { authorizationHeader, endpointOf, isThisMachine, isToken, type Remote } from "./remote.ts";
import { defaultServer, removeServer, saveServer } from "./saved-servers.ts";

const TOKEN_MAX_BYTES = 16 * 1024;
const CHECK_TIMEOUT_MS = 30_000;

/** A link under which nothing is stored, to test whether the service responds. */
const UNUSED_LINK = "0".repeat(64);

/**
 * `fixity login`: reads a token, checks it, and saves it with the address. The token comes from a
 * terminal without an echo, or from standard input, never from the arguments.
 *
 * @returns the exit code
 * @throws FixityError `invalid-option`
 */
export async function logIn(address: string, env: Environment): Promise<number> {
  const endpoint = endpointOf(address, "The address");
  if (endpoint.protocol === "http:" && !isThisMachine(endpoint)) {
    process.stderr.write(`Warning: the token crosses the network to ${endpoint.host} unencrypted. Use https.\n`);
  }
  // An unreachable address is reported before anybody types a token.
  await assertService({ endpoint, headers: {}, tokenSource: null });
  const token = process.stdin.isTTY ? await promptForToken(endpoint) : await readToken();
  if (token === null) return SIGNAL_EXITS.SIGINT;
  if (token !== "" && !isToken(token)) throw invalid("A token is a single line of ASCII without spaces.");
  const note = await checkToken(endpoint, token);
  const file = await saveServer(
    { endpoint: endpoint.href, token: token === "" ? null : token, savedAt: Date.now() },
    env,
  );
  process.stderr.write(`Logged in to ${endpoint.href}. ${note}Saved in ${file}.\n`);
  for (const variable of ["FIXITY_URL", "FIXITY_TOKEN"]) {
    if (env[variable]) process.stderr.write(`Note: ${variable} is set, and is used instead of this login.\n`);
  }
  return EXIT.ok;
}

/**
 * `fixity logout`: removes a saved server and its token.
 *
 * @param address `undefined` for the server of the latest login
 * @throws FixityError `invalid-option`
 */
export async function logOut(address: string | undefined, env: Environment): Promise<number> {
  const endpoint = address === undefined ? defaultServer(env)?.endpoint : endpointOf(address, "The address").href;
  if (endpoint === undefined) throw invalid("There is no login to remove.");
  const { origin } = new URL(endpoint);
  if (!(await removeServer(origin, env))) throw invalid(`There is no login for ${origin}.`);
  process.stderr.write(`Logged out of ${origin}.\n`);
  return EXIT.ok;
}

async function assertService(remote: Remote): Promise<void> {
  const reached = await statOnce(remote, UNUSED_LINK, AbortSignal.timeout(CHECK_TIMEOUT_MS));
  if (reached.status !== "failed" || reached.code === "unauthorized" || reached.code === "forbidden") return;
  throw invalid(reached.reason);
}

/**
 * Begins an upload with the token, and removes it.
 *
 * @returns what the user should know about the token
 * @throws FixityError `invalid-option` if it is not accepted
 */
async function checkToken(endpoint: URL, token: string): Promise<string> {
  const headers = token === "" ? {} : authorizationHeader(token);
  const request = { headers, redirect: "manual", signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) } as const;
  let response: Response;
  try {
    response = await fetch(endpoint.href, {
      ...request,
      method: "POST",
      headers: { ...headers, "Upload-Complete": "?0" },
    });
    await response.body?.cancel();
    const location = response.headers.get("location");
    const upload = location === null ? null : URL.parse(location, endpoint.href);
    if (response.ok && upload?.origin === endpoint.origin) await fetch(upload.href, { ...request, method: "DELETE" });
  } catch (cause) {
    const failure = explainFailure(cause, { endpoint, headers, tokenSource: null });
    throw invalid(`${endpoint.origin} cannot be reached${failure === null ? "" : ` (${failure.code})`}.`, cause);
  }
  if (response.status === 401) {
    throw invalid(
      token === ""
        ? `${endpoint.origin} requires a token: ask its operator for one.`
        : `${endpoint.origin} did not accept the token. Nothing was saved.`,
    );
  }
  return response.status === 403 ? "This token may not upload. " : "";
}

async function readToken(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.length > TOKEN_MAX_BYTES) throw invalid("Standard input is too long for a token.");
  }
  return text.trim();
}

/** Reads a line from the terminal without an echo; `null` after Ctrl-C. */
async function promptForToken({ origin }: URL): Promise<string | null> {
  const { stdin, stderr } = process;
  // Raw before the prompt: the terminal would show what is typed in between.
  stdin.setRawMode(true);
  stderr.write(`Access token for ${origin} (empty if it needs none): `);
  stdin.setEncoding("utf8");
  try {
    let line = "";
    for await (const keys of stdin) {
      for (const key of String(keys)) {
        if (key === "\u0003") return null;
        if (key === "\r" || key === "\n" || key === "\u0004") return line.trim();
        if (key === "\u007f" || key === "\b") line = line.slice(0, -1);
        else if (key === "\u0015") line = "";
        else line += key;
      }
    }
    return line.trim();
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}

function invalid(message: string, cause?: unknown): FixityError {
  return new FixityError("invalid-option", message, { cause });
}
