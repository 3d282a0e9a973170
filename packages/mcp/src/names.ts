const SEPARATOR = "__";
const URI_MARK = "mcp+";
/** Hosts of MCP apps look at the scheme: theirs stays in front. */
const UI_SCHEME = "ui://";

export interface Owned {
  readonly server: string;
  /** As the server knows it. */
  readonly own: string;
}

/** The name of a tool or prompt where several servers are behind one route. Server ids hold no underscore, so it can be split. */
export function prefixedName(server: string, name: string): string {
  return `${server}${SEPARATOR}${name}`;
}

export function splitName(name: string): Owned | undefined {
  const at = name.indexOf(SEPARATOR);
  if (at <= 0 || at + SEPARATOR.length === name.length) return undefined;
  return { server: name.slice(0, at), own: name.slice(at + SEPARATOR.length) };
}

/**
 * A resource's uri (or uri template) where several servers are behind one route: still a uri, whose scheme begins with
 * the server. Ids of servers hold no plus sign, so it can be split.
 */
export function prefixedUri(server: string, uri: string): string {
  if (uri.startsWith(UI_SCHEME)) return `${UI_SCHEME}${URI_MARK}${server}+${uri.slice(UI_SCHEME.length)}`;
  return `${URI_MARK}${server}+${uri}`;
}

export function splitUri(uri: string): Owned | undefined {
  const scheme = uri.startsWith(UI_SCHEME) ? UI_SCHEME : "";
  const rest = uri.slice(scheme.length);
  const plus = rest.indexOf("+", URI_MARK.length);
  if (!rest.startsWith(URI_MARK) || plus <= URI_MARK.length) return undefined;
  return { server: rest.slice(URI_MARK.length, plus), own: scheme + rest.slice(plus + 1) };
}
