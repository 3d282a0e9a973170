import { type LinkOptions, openHttpLink } from "./http-link.ts";
import type { Link } from "./link.ts";

/** The way to the gateway that its URL's scheme names. What only the other needs is not loaded. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const isSocket = options.url.protocol === "ws:" || options.url.protocol === "wss:";
  return isSocket ? (await import("./socket-link.ts")).openSocketLink(options) : openHttpLink(options);
}
