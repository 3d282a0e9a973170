import { BlockList, isIP, isIPv4, SocketAddress } from "node:net";
import { AppError } from "@tollgate/errors";

/** Of X-Forwarded-For; what is longer is not looked through. */
const FORWARDED_MAX = 50;
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;
/** Of an IPv6 address the part that a network has; the rest is the host's own choice. */
const NETWORK_GROUPS = 4;

/**
 * Whose word on addresses counts.
 * @param cidrs networks such as 10.0.0.0/8 or fd00::/8, or single addresses
 * @throws {AppError} `invalid_argument`
 */
export function trustedProxies(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    if (!isNetwork(cidr))
      throw new AppError("invalid_argument", "TOLLGATE_TRUSTED_PROXIES: has to be networks such as 10.0.0.0/8");
    const [network = "", prefix] = cidr.split("/");
    const family = isIPv4(network) ? "ipv4" : "ipv6";
    list.addSubnet(network, prefix === undefined ? (family === "ipv4" ? 32 : 128) : Number(prefix), family);
  }
  return list;
}

function isNetwork(cidr: string): boolean {
  const [network = "", prefix, ...more] = cidr.split("/");
  const family = isIP(network);
  if (family === 0 || network.includes("%") || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

/**
 * The client's own address: the last one in X-Forwarded-For that no trusted proxy has. What stands further left is the
 * client's word. Empty where a trusted proxy says what is no address: then nobody knows.
 */
export function clientAddress(peer: string | undefined, forwarded: string | undefined, trusted: BlockList): string {
  let address = canonicalAddress(peer ?? "");
  const hops = forwarded === undefined ? [] : forwarded.split(",").slice(-FORWARDED_MAX);
  while (address !== "" && hops.length > 0 && isTrusted(address, trusted))
    address = canonicalAddress(withoutPort(hops.pop()!.trim()));
  return address;
}

/** One text per address: an IPv4 address in the form of IPv6 is itself again. Empty where it is no address. */
export function canonicalAddress(text: string): string {
  const [address = ""] = text.split("%");
  const family = isIP(address);
  if (family !== 6) return family === 4 ? address : "";
  const canonical = new SocketAddress({ address, family: "ipv6" }).address;
  return MAPPED.exec(canonical)?.[1] ?? canonical;
}

/** Addresses that one client can have as it likes: an IPv6 network of 64 bits is one. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  // "::" stands for as many zeros as are missing.
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  while (groups.length + after.length < 8) groups.push("0");
  return `${[...groups, ...after].slice(0, NETWORK_GROUPS).join(":")}::/64`;
}

function isTrusted(address: string, trusted: BlockList): boolean {
  return trusted.check(address, isIPv4(address) ? "ipv4" : "ipv6");
}

/** Some proxies say the port as well: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(text: string): string {
  return /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
}
