/**
 * The Dockerfile and the compose files, without Docker: what they name exists, and the server runs as
 * they run it, as a user without rights who may write to one folder. image.full.test.ts builds it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, chown, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import packageJson from "../../package.json" with { type: "json" };
import { parseDuration } from "../../src/base/quantity.ts";
import { readConfig } from "../../src/settings/config.ts";
import { freePort } from "../helpers/free-port.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { argumentsOf, contextFiles, dockerfile, environmentOf, textsOf } from "./image.ts";
import { settingsOf } from "./settings.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const EXAMPLES = join(ROOT, "examples/deployment");

/** The parts of a compose file that the tests look at. */
interface Compose {
  readonly services: Record<string, ComposeService>;
  readonly volumes?: Record<string, unknown>;
  readonly networks?: Record<string, unknown>;
  readonly secrets?: Record<string, { readonly file: string }>;
}

interface ComposeService {
  readonly image?: string;
  readonly build?: string;
  readonly environment?: Record<string, string>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly depends_on?: Record<string, { readonly condition: string }>;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
  readonly healthcheck?: object;
}

async function compose(name: string): Promise<Compose> {
  return parse(await readFile(join(EXAMPLES, name), "utf8")) as Compose;
}

void test("the image starts the package's program as npm start does, as a user that is not root", async () => {
  const { image } = await dockerfile();
  const [program, ...args] = [...argumentsOf(image, "ENTRYPOINT"), ...argumentsOf(image, "CMD")];
  const main = `/app/node_modules/fixity/${packageJson.bin.fixity}`;
  const started = packageJson.scripts.start.split(" ").map((arg) => (arg === "src/cli/main.ts" ? main : arg));
  assert.deepEqual([program, ...args], started);
  assert.match(textsOf(image, "USER")[0] ?? "", /^[1-9]\d*:[1-9]\d*$/);
  assert.deepEqual(textsOf(image, "VOLUME"), ["/data"]);
});

void test("the settings of the image are right, and it does not start without a decision on who may upload", async () => {
  const env = environmentOf((await dockerfile()).image);
  assert.equal(settingsOf({ ...env, UPLOAD_OPEN: "yes" })["UPLOAD_DIR"], "/data");
  assert.throws(() => readConfig({ env }), { code: "invalid-option", message: /Without tokens anybody/ });
});

void test("what .dockerignore lets through exists, and the build finds its configuration there", async () => {
  const files = await contextFiles();
  for (const file of files) assert.ok(existsSync(join(ROOT, file)), file);
  for (const file of ["package-lock.json", "src", "rolldown.config.ts"]) assert.ok(files.includes(file), file);
  for (const secret of [".env", "data", ".git", "node_modules"]) assert.ok(!files.includes(secret), secret);
});

void test("the health check succeeds while the server answers, and fails when nothing does", async () => {
  const { image } = await dockerfile();
  const [, ...args] = argumentsOf(image, "HEALTHCHECK");
  const check = (port: number) =>
    spawnSync(process.execPath, args, { env: { PORT: String(port) }, stdio: "ignore" }).status;
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path });
  assert.equal(check(server.port), 0);
  assert.equal(check(await freePort()), 1);
});

/** Starts a command as user 1000 without any rights, with a root file system that is read-only but for one folder. */
const CONFINE = `
  mount --bind "$0" "$0" && mount -o remount,bind,ro / && mount -o remount,bind,rw "$0" &&
  exec setpriv --reuid=1000 --regid=1000 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"`;

void test("a user without rights needs no folder but the data's", needing("root", "a mounted tmpfs"), async () => {
  await using folder = await StoreFolder.make();
  await mkdir(folder.path, { mode: 0o700 });
  await chmod(dirname(folder.path), 0o755);
  await chown(folder.path, 1000, 1000);
  const under = ["unshare", "--mount", "sh", "-c", CONFINE, folder.path];
  await using server = await ServerProcess.start({ dir: folder.path, under });
  const status = await readFile(`/proc/${server.pid}/status`, "utf8");
  assert.match(status, /^Uid:\t1000\t1000\t1000\t1000$/m);
  assert.match(status, /^CapEff:\t0+$/m);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(await readFile(`/proc/${server.pid}/mounts`, "utf8"), /^\S+ \/ \S+ ro\b/m);
  const large = Buffer.alloc(3 * 1024 ** 2, "fixity");
  for (const body of [Buffer.from("small"), large]) {
    const { status, headers } = await fetch(`${server.url}/uploads/a.txt`, { method: "PUT", body });
    assert.equal(status, 201);
    const read = await fetch(new URL(headers.get("location") ?? "", server.url));
    assert.ok(body.equals(Buffer.from(await read.arrayBuffer())));
  }
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.doesNotMatch(server.output, /EROFS|EACCES|EPERM/);
});

for (const names of [["compose.yaml"], ["compose.yaml", "compose.s3.yaml"]]) {
  void test(`${names.join(" with ")}: settings, secrets, volumes and networks exist`, async () => {
    const files = await Promise.all(names.map((name) => compose(name)));
    const merged = (key: "secrets" | "volumes" | "networks"): object =>
      Object.assign({}, ...files.map((file) => file[key]));
    const [secrets, volumes, networks] = [merged("secrets"), merged("volumes"), merged("networks")];
    const services = files.flatMap((file) => Object.entries(file.services));
    const env = Object.assign({}, ...services.map(([name, { environment }]) => (name === "fixity" ? environment : {})));
    const plain = Object.entries<string>(env).map(([name, value]) => [name, value.replace(/\$\{[^}]*\}/, "a.example")]);
    assert.ok(settingsOf({ HOST: "0.0.0.0", ...Object.fromEntries(plain) })["UPLOAD_TOKENS_FILE"] !== undefined);
    for (const [name, service] of services) {
      for (const secret of service.secrets ?? []) assert.ok(secret in secrets, `${name}: ${secret}`);
      for (const network of service.networks ?? []) assert.ok(network in networks, `${name}: ${network}`);
      for (const volume of service.volumes ?? []) {
        const [source = ""] = volume.split(":");
        assert.ok(
          source.startsWith(".") ? existsSync(join(EXAMPLES, source)) : source in volumes,
          `${name}: ${source}`,
        );
      }
      for (const other of Object.keys(service.depends_on ?? {})) assert.ok(services.some(([name]) => name === other));
    }
    const given = services.flatMap(([name, { secrets = [] }]) => (name === "fixity" ? secrets : []));
    const read = Object.entries<string>(env).filter(([name]) => name.endsWith("_FILE"));
    assert.deepEqual(read.map(([, path]) => path).sort(), given.map((name) => `/run/secrets/${name}`).sort());
  });
}

void test("the server's container is confined, and has the time to stop", async () => {
  const { fixity, caddy } = (await compose("compose.yaml")).services;
  for (const service of [fixity, caddy]) {
    assert.deepEqual([service?.read_only, service?.cap_drop], [true, ["ALL"]]);
    assert.deepEqual(service?.security_opt, ["no-new-privileges:true"]);
  }
  assert.ok(existsSync(join(EXAMPLES, fixity?.build ?? "", "Dockerfile")));
  const graceMs = parseDuration(fixity?.stop_grace_period ?? "") ?? 0;
  assert.ok(graceMs >= readConfig({}).shutdownTimeout + 15_000);
});
