import type { Parsed } from "@tollgate/contracts";
import type { Mistake, Path } from "./document.ts";

const PLACEHOLDER = /\$\$\{|\$\{secret:([^}]*)\}|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{/g;
/** Also the name of a file: no path, and none of the two folders that every folder has. */
const SECRET_NAME = /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}$/;
const MALFORMED = "has a ${ that is neither ${NAME} nor ${secret:NAME}; write $${ for a plain ${";

/** The value of the secret of a name that is one. The reason of a refusal says what to do, and is shown. */
export type ReadSecret = (name: string) => Parsed<string>;

/** `withheld`: it cannot be had now, and neither can the server, for this reason. */
export type ServerSecret = Parsed<string> | { readonly ok: false; readonly reason: string; readonly withheld: true };

/** The value of a secret of a name that is one, for this server. Reasons are shown. */
export type ReadServerSecret = (name: string, server: string) => ServerSecret;

/**
 * Put in where a secret is withheld, so that everything else in the entry can be checked: a url may begin with it. It goes
 * nowhere, since the server is not run.
 */
export const STAND_IN = "https://withheld.invalid/";

export interface Values {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readSecret: ReadSecret;
  /** For what leads into a server's entry; without it all are read alike. */
  readonly readServerSecret?: ReadServerSecret | undefined;
}

/** What a placeholder stands for, and in which value it stands. */
export interface Filled {
  readonly path: Path;
  readonly value: string;
  /** Why it is a stand-in only. */
  readonly withheld?: string;
}

/**
 * The value with every text's placeholders filled: `${NAME}` from the environment, `${secret:NAME}` with a secret; `$${`
 * stands for a plain `${`. Keys are left alone, and so is what `isLeft`. What was put in is added to `filled`; what cannot be stays as written, and
 * is added to `mistakes`.
 */
export function fillPlaceholders(
  value: unknown,
  at: {
    path: Path;
    values: Values;
    filled: Filled[];
    mistakes: Mistake[];
    isLeft?: (path: Path) => boolean;
    serverAt?: (path: Path) => string | undefined;
  },
): unknown {
  const { path, values, filled, mistakes } = at;
  if (at.isLeft?.(path)) return value;
  if (Array.isArray(value))
    return value.map((each, index) => fillPlaceholders(each, { ...at, path: [...path, index] }));
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    return Object.fromEntries(
      entries.map(([key, each]) => [key, fillPlaceholders(each, { ...at, path: [...path, key] })]),
    );
  }
  if (typeof value !== "string") return value;
  return value.replace(PLACEHOLDER, (whole, secret: string | undefined, variable: string | undefined) => {
    if (whole === "$${") return "${";
    const found = valueOf({ secret, variable, server: at.serverAt?.(path) }, values);
    if (found.ok) {
      filled.push({ path, value: found.value });
      return found.value;
    }
    if ("withheld" in found) {
      filled.push({ path, value: STAND_IN, withheld: found.reason });
      return STAND_IN;
    }
    mistakes.push({ path, message: found.reason });
    return whole;
  });
}

export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** The names of the secrets that a text asks for, each once. */
export function secretsNamed(text: string): string[] {
  const names = [...text.matchAll(PLACEHOLDER)].flatMap(([, secret]) => secret ?? []);
  return [...new Set(names)].filter((name) => SECRET_NAME.test(name));
}

/** The names of the variables that a text asks for. */
export function variablesNamed(text: string): string[] {
  return [...text.matchAll(PLACEHOLDER)].flatMap(([, , variable]) => variable ?? []);
}

function valueOf(
  asked: { secret: string | undefined; variable: string | undefined; server: string | undefined },
  { env, readSecret, readServerSecret }: Values,
): ServerSecret {
  const { secret, variable, server } = asked;
  if (secret !== undefined) {
    if (SECRET_NAME.test(secret))
      return server === undefined || readServerSecret === undefined
        ? readSecret(secret)
        : readServerSecret(secret, server);
    return { ok: false, reason: "has a ${secret:NAME} whose name is not 1 to 128 of A-Z, a-z, 0-9, _, . and -" };
  }
  if (variable === undefined) return { ok: false, reason: MALFORMED };
  const value = env[variable];
  return value === undefined ? { ok: false, reason: `the environment has no ${variable}` } : { ok: true, value };
}
