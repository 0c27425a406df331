import { BlockList, isIP } from "node:net";
import { FixityError } from "../core/errors.ts";

/** Characters of a forwarding field that are read, from the right: room for more hops than any request has. */
const MAX_LENGTH = 1024;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Networks whose hosts are believed when they state, in `X-Forwarded-For`, from where a request came. */
export class TrustedProxies {
  readonly #ranges = new BlockList();

  /**
   * @param ranges addresses and CIDR ranges, such as `10.0.0.0/8` and `2001:db8::1`
   * @throws FixityError `invalid-option`
   */
  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const parsed = parseRange(range);
      if (parsed === null) {
        throw new FixityError("invalid-option", `"${range}" is not an address or a range such as 10.0.0.0/8.`);
      }
      this.#ranges.addSubnet(parsed.address, parsed.prefix, familyOf(parsed.address));
    }
  }

  /** Whether a text is an address or a range. */
  static isRange(this: void, text: string): boolean {
    return parseRange(text) !== null;
  }

  includes(address: string): boolean {
    return this.#ranges.check(address, familyOf(address));
  }
}

/**
 * The network of the client that sent a request: what limits per client count. An IPv4 address, or the /64 of an IPv6
 * address, since a subscriber has at least that many to choose from.
 *
 * Behind trusted proxies the client is the rightmost hop of `X-Forwarded-For` that is not trusted: each proxy appends the
 * address of its own client, and what stands further left is whatever the client sent.
 *
 * @param peer the address at the other end of the connection, where the server knows it
 * @param forwardedFor the `X-Forwarded-For` field
 * @returns `null` for a client without an address of its own: a loopback or trusted peer that names none, an address that
 *   cannot be read. It shares its address with others, so there must be no limit on that.
 */
export function clientNetwork(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: TrustedProxies,
): string | null {
  let address = peer === undefined ? null : normalize(peer);
  if (address === null) return null;
  if (trusted.includes(address)) {
    const hops = (forwardedFor ?? "").slice(-MAX_LENGTH).split(",").toReversed();
    let client: string | null = null;
    for (const hop of hops) {
      client = normalize(hopAddress(hop));
      if (client === null || !trusted.includes(client)) break;
    }
    if (client === null || trusted.includes(client)) return null;
    address = client;
  }
  return isLoopback(address) ? null : networkOf(address);
}

/** Whether connections from here carry requests of many clients, so that no limit on connections per client applies. */
export function isSharedPeer(peer: string | undefined, trusted: TrustedProxies): boolean {
  const address = peer === undefined ? null : normalize(peer);
  return address === null || isLoopback(address) || trusted.includes(address);
}

/** Whether an IP address is of this machine's loopback interface. */
export function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, familyOf(address));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 4 ? "ipv4" : "ipv6";
}

/** An address out of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, each perhaps in quotes. */
function hopAddress(hop: string): string {
  const text = hop.trim().replace(/^"(.*)"$/, "$1");
  return /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text;
}

/** An address without a zone, IPv4-mapped IPv6 (`::ffff:192.0.2.1`) as IPv4; `null` where it is none. */
function normalize(text: string): string | null {
  const address = text.replace(/%.*$/, "");
  if (isIP(address) !== 6) return isIP(address) === 4 ? address : null;
  const groups = groupsOf(address);
  if (groups.slice(0, 5).some((group) => group !== 0) || groups[5] !== 0xffff) return address;
  return groups.slice(6).flatMap((group) => [group >> 8, group & 0xff]).join("."); // prettier-ignore
}

/** The /64 of an IPv6 address, in one spelling; an IPv4 address as it is. */
function networkOf(address: string): string {
  if (isIP(address) === 4) return address;
  const groups = groupsOf(address).slice(0, 4);
  return `${groups.map((group) => group.toString(16)).join(":")}::/64`;
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  // the URL parser writes the shortest form, with hex groups only (WHATWG URL, "IPv6 serializer")
  const [head = "", tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const parse = (text: string): number[] => text.split(":").filter(Boolean).map((group) => Number.parseInt(group, 16)); // prettier-ignore
  const [left, right] = [parse(head), parse(tail ?? "")];
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
}

function parseRange(range: string): { readonly address: string; readonly prefix: number } | null {
  const [, address = "", digits] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(range.trim()) ?? [];
  const most = isIP(address) === 4 ? 32 : 128;
  const prefix = digits === undefined ? most : Number(digits);
  return isIP(address) !== 0 && prefix <= most ? { address, prefix } : null;
}
