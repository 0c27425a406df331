// Users bring a JWT, as an identity provider issues it. JWT_PUBLIC_KEY is the provider's key in PEM.
import Fastify, { type FastifyRequest } from "fastify";
import { createFixity } from "fixity";
import { diskStore } from "fixity/disk";
import { fixityPlugin } from "fixity/fastify";
import { errors, importSPKI, jwtVerify } from "jose";

interface User {
  readonly id: string;
  /** Bytes of a file; absent for no limit. */
  readonly maxSize?: number;
}

const key = await importSPKI(process.env.JWT_PUBLIC_KEY ?? "", "ES256");

/** The user that a request's JWT proves; `null` without one, or for one that proves nothing. */
async function userOf({ headers }: FastifyRequest): Promise<User | null> {
  const token = /^Bearer (\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (token === undefined) return null;
  try {
    const { payload } = await jwtVerify<{ max_size?: number }>(token, key, {
      // The token must not choose how it is verified.
      algorithms: ["ES256"],
      issuer: "https://id.example.com",
      audience: "files.example.com",
      requiredClaims: ["sub", "exp"],
    });
    return { id: payload.sub!, ...(payload.max_size !== undefined && { maxSize: payload.max_size }) };
  } catch (error) {
    if (error instanceof errors.JOSEError) return null;
    throw error;
  }
}

const app = Fastify();
await app.register(fixityPlugin<User | null>, {
  fixity: createFixity<User | null>({
    store: diskStore({ root: process.env.UPLOAD_DIR ?? "./data" }),
    onStored: ({ url }, { principal }) => console.error(`${principal.name} has stored ${url}`),
  }),
  context: userOf,
  principal: (user) => user && { name: user.id },
  authorize({ action, context: user }) {
    if (action === "create" && user?.maxSize !== undefined) return { maxSize: user.maxSize };
    return true;
  },
});
app.get("/me", async (request) => ({ user: (await userOf(request))?.id ?? null }));
console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: "127.0.0.1" }));

// Closes the service, too, which saves what running uploads have received.
process.once("SIGTERM", () => void app.close());
