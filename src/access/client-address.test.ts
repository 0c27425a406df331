import assert from "node:assert/strict";
import { test } from "node:test";
import { clientNetwork, isSharedPeer, TrustedProxies } from "./client-address.ts";

const trusted = new TrustedProxies(["10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1"]);

/** A peer, its `X-Forwarded-For`, and the expected client. */
const CASES: readonly (readonly [peer: string | undefined, forwardedFor: string | undefined, client: string | null])[] =
  [
    // no proxy: the field is ignored
    ["192.0.2.1", undefined, "192.0.2.1"],
    ["192.0.2.1", "198.51.100.1", "192.0.2.1"],
    ["192.0.2.1", "10.0.0.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", undefined, "192.0.2.1"],
    ["::ffff:c000:201", undefined, "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", undefined, "2001:db8:1:2::/64"],
    ["2001:db8:1:2::6", undefined, "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::", undefined, "2001:db8:1:2::/64"],
    ["2001:db8::6", undefined, "2001:db8:0:0::/64"],
    ["fe80::1%eth0", undefined, "fe80:0:0:0::/64"],
    // loopback, and no address at all: shared by many clients
    ["::1", undefined, null],
    ["::1", "192.0.2.1", null],
    ["127.0.0.2", "192.0.2.1", null],
    ["::ffff:127.0.0.2", undefined, null],
    [undefined, "192.0.2.1", null],
    ["/run/socket", "192.0.2.1", null],
    // a trusted proxy
    ["10.1.2.3", "192.0.2.1", "192.0.2.1"],
    ["::ffff:10.1.2.3", "192.0.2.1", "192.0.2.1"],
    ["127.0.0.1", "192.0.2.1", "192.0.2.1"],
    ["2001:db8:ffff::1", "2001:db8:1:2:3::", "2001:db8:1:2::/64"],
    ["10.1.2.3", "198.51.100.1, 192.0.2.1", "192.0.2.1"],
    ["10.1.2.3", "198.51.100.1, 192.0.2.1, 10.9.9.9, 127.0.0.1", "192.0.2.1"],
    ["10.1.2.3", "192.0.2.1:4711", "192.0.2.1"],
    ["10.1.2.3", '"[2001:db8:1:2::1]:4711"', "2001:db8:1:2::/64"],
    ["10.1.2.3", "[2001:db8:1:2::1]", "2001:db8:1:2::/64"],
    ["10.1.2.3", "::ffff:192.0.2.1", "192.0.2.1"],
    ["10.1.2.3", `${"198.51.100.1,".repeat(2000)} 192.0.2.1`, "192.0.2.1"],
    // a trusted proxy that names no client
    ["10.1.2.3", undefined, null],
    ["10.1.2.3", "", null],
    ["10.1.2.3", "unknown", null],
    ["10.1.2.3", "192.0.2.1, unknown", null],
    ["10.1.2.3", "192.0.2.1, _hidden", null],
    ["10.1.2.3", "192.0.2.1,", null],
    ["10.1.2.3", "999.0.2.1", null],
    ["10.1.2.3", "10.0.0.1, 10.0.0.2", null],
    ["10.1.2.3", "127.0.0.2", null],
  ];

test("the client is the peer or the rightmost untrusted hop, by its IPv4 address or its /64", () => {
  for (const [peer, forwardedFor, client] of CASES) {
    assert.equal(clientNetwork(peer, forwardedFor, trusted), client, `${peer} ${forwardedFor?.slice(-100)}`);
  }
});

test("loopback peers, trusted proxies and peers without an address are shared by many clients", () => {
  const shared = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.0.0.1", "2001:db8:ffff::1", undefined];
  assert.ok(shared.every((peer) => isSharedPeer(peer, trusted)));
  assert.ok(!["192.0.2.1", "11.0.0.1", "2001:db8::1", "::2"].some((peer) => isSharedPeer(peer, trusted)));
});

test("a range is an address with or without a prefix length", () => {
  const ranges = ["10.0.0.0/8", "10.0.0.1", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1", " 192.0.2.0/24 "];
  assert.deepEqual(ranges.filter((range) => !TrustedProxies.isRange(range)), []); // prettier-ignore
  const others = ["", "10.0.0.0/33", "::/129", "10.0.0", "localhost", "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/", "*", "fe80::1%eth0"]; // prettier-ignore
  for (const range of others) {
    assert.ok(!TrustedProxies.isRange(range), range);
    assert.throws(() => new TrustedProxies([range]), { code: "invalid-option" });
  }
});
