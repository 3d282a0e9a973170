import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalAddress, clientAddress, networkOf, trustedProxies } from "./addresses.ts";

const TRUSTED = trustedProxies(["10.0.0.0/8", "192.0.2.7", "fd00::/8"]);

describe("the client's address", () => {
  test.each([
    ["without a proxy it is the peer's", "198.51.100.1", undefined, "198.51.100.1"],
    ["of a peer that is no trusted proxy nothing else counts", "198.51.100.1", "203.0.113.9", "198.51.100.1"],
    ["a trusted proxy says whose request it is", "10.1.2.3", "203.0.113.9", "203.0.113.9"],
    [
      "what a client has put before it counts for nothing",
      "10.1.2.3",
      "127.0.0.1, 10.0.0.1, 203.0.113.9",
      "203.0.113.9",
    ],
    ["through two trusted proxies", "10.1.2.3", "6.6.6.6, 203.0.113.9, 192.0.2.7", "203.0.113.9"],
    ["a trusted one behind another", "10.1.2.3", "10.9.9.9", "10.9.9.9"],
    ["in the form of IPv6", "::ffff:10.1.2.3", "::ffff:203.0.113.9", "203.0.113.9"],
    ["in hexadecimal", "::ffff:10.1.2.3", "::FFFF:CB00:7109", "203.0.113.9"],
    ["IPv6", "fd12::1", "2001:DB8:0::0001", "2001:db8::1"],
    ["with a port", "10.1.2.3", "203.0.113.9:4711", "203.0.113.9"],
    ["IPv6 with a port", "10.1.2.3", "[2001:db8::1]:4711", "2001:db8::1"],
    ["nobody knows", "10.1.2.3", "unknown", ""],
    ["nobody knows what was empty", "10.1.2.3", "203.0.113.9, ", ""],
    ["of a connection that is gone", undefined, "203.0.113.9", ""],
  ])("%s", (_what, peer, forwarded, expected) => {
    expect(clientAddress(peer, forwarded, TRUSTED)).toBe(expected);
  });

  test("is never what somebody says through a peer that is not trusted", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.string(), (peer, forwarded) => {
        fc.pre(!peer.startsWith("10.") && peer !== "192.0.2.7");
        expect(clientAddress(peer, forwarded, TRUSTED)).toBe(peer);
      }),
    );
  });

  test("is an address or nothing, whatever a trusted proxy says", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.ipV4Extended()), (forwarded) => {
        const address = clientAddress("10.0.0.1", forwarded, TRUSTED);
        expect(address === "" || canonicalAddress(address) === address).toBe(true);
      }),
    );
  });
});

test.each([
  ["10.0.0.0/8", true],
  ["10.0.0.1", true],
  ["fd00::/8", true],
  ["::1", true],
  ["10.0.0.0/33", false],
  ["fd00::/129", false],
  ["10.0.0.0/8/8", false],
  ["10.0.0.0/", false],
  ["proxy.example", false],
  ["", false],
])("%j is a network: %j", (text, expected) => {
  const trust = () => trustedProxies([text]);
  if (expected) expect(trust).not.toThrow();
  else expect(trust).toThrow("has to be networks");
});

test.each([
  ["203.0.113.9", "203.0.113.9"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["::1", "0:0:0:0::/64"],
  ["2001:db8:1:2::", "2001:db8:1:2::/64"],
  ["", ""],
])("%j counts as %j", (address, expected) => {
  expect(networkOf(address)).toBe(expected);
});
