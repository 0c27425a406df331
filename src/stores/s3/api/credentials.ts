import type { StaticKeys } from "../options.ts";

/** Keys to sign with. */
export interface Keys extends StaticKeys {
  /** When temporary keys end, where that is known; what was signed with them ends with them. */
  readonly expiration?: Date;
}

/** Gives the keys to sign with, at every request anew: temporary ones are renewed before they end. */
export type CredentialSource = () => Promise<Keys>;

/**
 * The keys of the configuration, or AWS's credential chain. The chain is a few hundred files; they are loaded at the first
 * request, and only where the chain is asked. It remembers its keys and renews them five minutes before their end.
 */
export function credentialSource(keys: StaticKeys | null): CredentialSource {
  if (keys !== null) return async () => keys;
  let chain: Promise<CredentialSource> | null = null;
  return async () => {
    chain ??= loadChain();
    const source = await chain;
    return source();
  };
}

async function loadChain(): Promise<CredentialSource> {
  const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
  const provider = defaultProvider();
  return async () => {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await provider();
    return {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      ...(expiration !== undefined && { expiration }),
    };
  };
}
