import type { DesiredServer } from "@tollgate/desired-state";

/** Shorter values are everyday words and numbers: hiding them would garble a text and keep nothing secret. */
const SECRET_MIN_CHARS = 8;
const REFERENCE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/**
 * Takes out of a text whatever may be secret in how its server is started: the values of its variables, and what each
 * `${NAME}` anywhere in its entry stands for. A server that does not start may print its own environment.
 */
export function hideSecrets(
  text: string,
  server: Pick<DesiredServer, "env" | "written"> | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string {
  if (!server) return text;
  const names = [...JSON.stringify(server.written).matchAll(REFERENCE)].map((match) => match[1]!);
  const values = [...Object.values(server.env), ...names.map((name) => env[name] ?? "")];
  // The longest first: one may contain another.
  const secrets = values.filter((value) => value.length >= SECRET_MIN_CHARS).toSorted((a, b) => b.length - a.length);
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), text);
}
