import ipaddr from "ipaddr.js";

/** The address as policies compare it; undefined where it is none. IPv4 within IPv6 counts as IPv4. */
export function parseAddress(text: string): string | undefined {
  const [plain] = text.split("%");
  if (plain === undefined || !ipaddr.isValid(plain)) return undefined;
  return ipaddr.process(plain).toString();
}
