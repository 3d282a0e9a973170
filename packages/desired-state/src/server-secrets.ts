import { type Mistake, parseSource, type Path, valuesOf } from "./document.ts";
import { type Filled, secretsNamed } from "./placeholders.ts";

// Entries of servers, connectors among them, may take their secrets from other stores than files. What such a store does
// not give now is no mistake of the file: the server is withheld until it does, and everything else is in force.

/** The server into whose entry the path leads. @param sections of a file, unchecked */
export function serverAt(sections: unknown, path: Path): string | undefined {
  const isConnector = path[0] === "groups" && path[2] === "connectors";
  if (path[0] !== "mcp_servers" && !isConnector) return undefined;
  const entry = path
    .slice(0, isConnector ? 4 : 2)
    .reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown> | null | undefined)?.[step], sections);
  const id = (entry as { id?: unknown } | null | undefined)?.id;
  return typeof id === "string" ? id : undefined;
}

/** What was put into an entry and must not be shown, and why the server cannot run now. */
export function secretsIn(filled: readonly Filled[]): { readonly secrets: string[]; readonly withheld?: string } {
  const withheld = filled.find((each) => each.withheld !== undefined)?.withheld;
  const secrets = filled.filter((each) => each.withheld === undefined).map(({ value }) => value);
  return { secrets, ...(withheld === undefined ? {} : { withheld }) };
}

/** A stand-in that has not the form which its place asks for is wrong for want of the secret. */
export function explainWithheld(mistakes: readonly Mistake[], filled: readonly Filled[]): Mistake[] {
  const reasons = new Map(filled.map(({ path, withheld }) => [JSON.stringify(path), withheld]));
  return mistakes.map((mistake) => ({
    ...mistake,
    message: reasons.get(JSON.stringify(mistake.path)) ?? mistake.message,
  }));
}

/** The names of the secrets that servers' entries of a file ask for; none where the text is no such file. */
export function serverSecretsNamed(text: string): string[] {
  const { source, mistakes } = parseSource(text);
  if (mistakes.length > 0) return [];
  const { groups, mcp_servers: servers } = valuesOf(source) as Record<string, unknown>;
  return secretsNamed(JSON.stringify([groups, servers]));
}
