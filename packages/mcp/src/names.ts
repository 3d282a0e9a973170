const SEPARATOR = "__";

/** A tool's name where several servers are behind one route. Server ids hold no underscore, so it can be split. */
export function prefixedName(server: string, tool: string): string {
  return `${server}${SEPARATOR}${tool}`;
}

export function splitName(name: string): { server: string; tool: string } | undefined {
  const at = name.indexOf(SEPARATOR);
  if (at <= 0 || at + SEPARATOR.length === name.length) return undefined;
  return { server: name.slice(0, at), tool: name.slice(at + SEPARATOR.length) };
}
