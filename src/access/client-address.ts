import { BlockList, isIP } from "node:net";
import { FixityError } from "../core/errors.ts";

/**
 * Characters of `X-Forwarded-For` that are read, from the right: room for more hops than any real
 * request has.
 */
const MAX_FORWARDED_FOR_LENGTH = 1024;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Peers whose facts are remembered: looking at an address takes longer than the rest of the check. */
const MAX_KNOWN_PEERS = 1024;

/** What is known of the address at the other end of a connection. */
interface Peer {
  /** `null` if it cannot be parsed. */
  readonly address: string | null;
  readonly isTrusted: boolean;
  /** `null` for loopback, and for an address that cannot be parsed. */
  readonly network: string | null;
}

/** Networks whose hosts are trusted to state the origin of a request in `X-Forwarded-For`. */
export class TrustedProxies {
  readonly #ranges = new BlockList();
  readonly #peers = new Map<string, Peer>();

  /**
   * @param ranges addresses and CIDR ranges, such as `10.0.0.0/8` and `2001:db8::1`
   * @throws FixityError `invalid-option`
   */
  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const parsed = parseRange(range);
      if (parsed === null) {
        throw new FixityError("invalid-option", `"${range}" is neither an address nor a range such as 10.0.0.0/8.`);
      }
      this.#ranges.addSubnet(parsed.address, parsed.prefix, familyOf(parsed.address));
    }
  }

  /** Whether a text is an address or a CIDR range. */
  static isRange(this: void, text: string): boolean {
    return parseRange(text) !== null;
  }

  includes(address: string): boolean {
    return this.#ranges.check(address, familyOf(address));
  }

  /** The facts of a peer, as the server names its address. */
  peer(text: string): Peer {
    const known = this.#peers.get(text);
    if (known !== undefined) return known;
    const address = normalize(text);
    const peer: Peer = {
      address,
      isTrusted: address !== null && this.includes(address),
      network: address === null || isLoopback(address) ? null : networkOf(address),
    };
    if (this.#peers.size >= MAX_KNOWN_PEERS) this.#peers.clear();
    this.#peers.set(text, peer);
    return peer;
  }
}

/**
 * The network of the client that sent a request, which is the key of limits per client: an IPv4
 * address, or the /64 of an IPv6 address, since every subscriber has at least that many addresses.
 *
 * Behind trusted proxies the client is the rightmost hop of `X-Forwarded-For` that is not trusted:
 * each proxy appends the address of its own client, and anything further left may be made up by the
 * client.
 *
 * @param peer the address at the other end of the connection, if the server knows it
 * @param forwardedFor the `X-Forwarded-For` field
 * @returns `null` for a client without an address of its own: a loopback or trusted peer that names
 *   none, or an address that cannot be parsed. Many clients may share that address, so no limit may
 *   apply to it.
 */
export function clientNetwork(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: TrustedProxies,
): string | null {
  if (peer === undefined) return null;
  const { isTrusted, network } = trusted.peer(peer);
  if (!isTrusted) return network;
  const hops = (forwardedFor ?? "").slice(-MAX_FORWARDED_FOR_LENGTH).split(",").toReversed();
  let client: string | null = null;
  for (const hop of hops) {
    client = normalize(hopAddress(hop));
    if (client === null || !trusted.includes(client)) break;
  }
  if (client === null || trusted.includes(client)) return null;
  return isLoopback(client) ? null : networkOf(client);
}

/**
 * Whether connections from this peer carry requests of many clients, so that no limit per client
 * may apply to them.
 */
export function isSharedPeer(peer: string | undefined, trusted: TrustedProxies): boolean {
  if (peer === undefined) return true;
  const { isTrusted, network } = trusted.peer(peer);
  return isTrusted || network === null;
}

/** Whether an IP address belongs to the loopback interface. */
export function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, familyOf(address));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 4 ? "ipv4" : "ipv6";
}

/**
 * The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`, with or without
 * quotes.
 */
function hopAddress(hop: string): string {
  const text = hop.trim().replace(/^"(.*)"$/, "$1");
  return /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text;
}

/**
 * An address without its zone, IPv4-mapped IPv6 (`::ffff:192.0.2.1`) as IPv4; `null` for anything
 * else.
 */
function normalize(text: string): string | null {
  const address = text.replace(/%.*$/, "");
  if (isIP(address) !== 6) return isIP(address) === 4 ? address : null;
  const groups = groupsOf(address);
  if (groups.slice(0, 5).some((group) => group !== 0) || groups[5] !== 0xffff) return address;
  return groups.slice(6).flatMap((group) => [group >> 8, group & 0xff]).join("."); // prettier-ignore
}

/** The /64 of an IPv6 address in its canonical spelling; an IPv4 address unchanged. */
function networkOf(address: string): string {
  if (isIP(address) === 4) return address;
  const groups = groupsOf(address).slice(0, 4);
  return `${groups.map((group) => group.toString(16)).join(":")}::/64`;
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  // the URL parser serialises to the shortest form, in hex groups only (WHATWG URL, "IPv6
  // serializer")
  const [head = "", tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const parse = (text: string): number[] => text.split(":").filter(Boolean).map((group) => Number.parseInt(group, 16)); // prettier-ignore
  const [left, right] = [parse(head), parse(tail ?? "")];
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
}

function parseRange(range: string): { readonly address: string; readonly prefix: number } | null {
  const [, address = "", digits] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(range.trim()) ?? [];
  const maxPrefix = isIP(address) === 4 ? 32 : 128;
  const prefix = digits === undefined ? maxPrefix : Number(digits);
  return isIP(address) !== 0 && prefix <= maxPrefix ? { address, prefix } : null;
}
