import type { Parsed } from "@tollgate/contracts";
import type { Mistake, Path } from "./document.ts";

const PLACEHOLDER = /\$\$\{|\$\{secret:([^}]*)\}|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{/g;
/** Also the name of a file: no path, and none of the two folders that every folder has. */
const SECRET_NAME = /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}$/;
const MALFORMED = "has a ${ that is neither ${NAME} nor ${secret:NAME}; write $${ for a plain ${";

/** The value of the secret of a name that is one. The reason of a refusal says what to do, and is shown. */
export type ReadSecret = (name: string) => Parsed<string>;

export interface Values {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readSecret: ReadSecret;
}

/** What a placeholder stands for, and in which value it stands. */
export interface Filled {
  readonly path: Path;
  readonly value: string;
}

/**
 * The value with every text's placeholders filled: `${NAME}` from the environment, `${secret:NAME}` with a secret; `$${`
 * stands for a plain `${`. Keys are left alone, and so is what `isLeft`. What was put in is added to `filled`; what cannot be stays as written, and
 * is added to `mistakes`.
 */
export function fillPlaceholders(
  value: unknown,
  at: { path: Path; values: Values; filled: Filled[]; mistakes: Mistake[]; isLeft?: (path: Path) => boolean },
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
    const found = valueOf({ secret, variable }, values);
    if (found.ok) {
      filled.push({ path, value: found.value });
      return found.value;
    }
    mistakes.push({ path, message: found.reason });
    return whole;
  });
}

/** The names of the secrets that a text asks for, each once. */
export function secretsNamed(text: string): string[] {
  const names = [...text.matchAll(PLACEHOLDER)].flatMap(([, secret]) => secret ?? []);
  return [...new Set(names)].filter((name) => SECRET_NAME.test(name));
}

function valueOf(
  { secret, variable }: { secret: string | undefined; variable: string | undefined },
  { env, readSecret }: Values,
): Parsed<string> {
  if (secret !== undefined) {
    if (SECRET_NAME.test(secret)) return readSecret(secret);
    return { ok: false, reason: "has a ${secret:NAME} whose name is not 1 to 128 of A-Z, a-z, 0-9, _, . and -" };
  }
  if (variable === undefined) return { ok: false, reason: MALFORMED };
  const value = env[variable];
  return value === undefined ? { ok: false, reason: `the environment has no ${variable}` } : { ok: true, value };
}
