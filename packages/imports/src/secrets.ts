import type { ImportedSecret } from "./entries.ts";

const NAME_MAX_CHARS = 128;
/** What the name of a variable, header or option says about its value. */
const SECRET_NAME =
  /token|api_?-?key|apikey|secret|passw|passphrase|pwd|credential|authorization|auth$|bearer|private_?-?key|access_?-?key|(?:^|[_-])key$|(?:^|[_-])pat$|cookie|connection_?-?string|database_url|(?:^|[_-])dsn$/i;
/** It says where a secret is, or how long it lasts. */
const ABOUT_SECRET = /(?:file|path|dir|url|uri|name|header|expiry|ttl|type|id|endpoint|limit|max_?tokens|tokens)$/i;
const HARMLESS = /^(?:|true|false|yes|no|on|off|none|null|\d{1,6})$/i;
/** Tokens of well-known services, JSON Web Tokens, private keys, and urls with a password. */
const KNOWN_SECRET =
  /^(?:gh[oprsu]_|github_pat_|glpat-|sk-|sk_|pk_live|rk_live|xox[abeprs]-|xapp-|AKIA|ASIA|AIza|ya29\.|hf_|npm_|pypi-|dop_v1_|ntn_|secret_|lin_api_|figd_|pat[A-Za-z0-9]{10}|eyJ[\w-]{10,}\.)|-----BEGIN|:\/\/[^/\s:@]*:[^/\s@]+@/;
const RANDOM_MIN_CHARS = 24;
/** A scheme of HTTP and what follows it. */
const SCHEME = /^(Bearer|Basic|Token|ApiKey|Bot|Digest|token|bearer)\s+(?=\S)/;
/** What editors put in themselves. */
const EDITOR_VARIABLE = /^(?:workspaceFolder|workspaceFolderBasename|userHome|pathSeparator|file|cwd|\/)/;
/** `${env:NAME}`, `${input:ID}`, `${NAME}` and `${NAME:-default}`, as clients' files have them. */
const VARIABLE = /\$\{(?:(env|input):)?([^{}:]+)(?::-([^{}]*))?\}/g;

/** Collects what an import finds beside its entries. */
export interface Findings {
  readonly secrets: readonly ImportedSecret[];
  readonly values: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
  warn(message: string): void;
  /** Notes a secret of the server, with its value if it is known. @returns `${secret:NAME}` */
  secret(server: string, about: { readonly what: string; readonly from: string; readonly value?: string }): string;
  /**
   * A text of a client's file as tollgate.yaml has it: variables and what looks like a secret become `${secret:NAME}`.
   * @param about.what the name of the variable, header or option that has the value
   */
  toText(server: string, text: string, about: { readonly what: string; readonly from: string }): string;
}

const WARNINGS_MAX = 500;

/** @param inputs what a client's file says of the values that it asks its user for, by their ids */
export function createFindings(inputs: ReadonlyMap<string, string> = new Map()): Findings {
  const secrets: ImportedSecret[] = [];
  const values = new Map<string, string>();
  const warnings = new Set<string>();

  function secret(server: string, about: { what: string; from: string; value?: string }): string {
    const { what, from, value } = about;
    const plain = `${server}.${what.replaceAll(/[^A-Za-z0-9_-]+/g, "_").replaceAll(/^_+|_+$/g, "") || "value"}`;
    const base = plain.slice(0, NAME_MAX_CHARS - 4);
    let name = base;
    // Two values of one name in one server are two secrets; the same value is one.
    for (let count = 2; secrets.some((each) => each.name === name) && values.get(name) !== value; count += 1)
      name = `${base}_${count}`;
    if (!secrets.some((each) => each.name === name)) secrets.push({ name, server, from });
    if (value !== undefined) values.set(name, value);
    return `\${secret:${name}}`;
  }

  function toText(server: string, text: string, { what, from }: { what: string; from: string }): string {
    const parts: string[] = [];
    let last = 0;
    for (const match of text.matchAll(VARIABLE)) {
      const [whole, kind, name = "", otherwise] = match;
      parts.push(escaped(text.slice(last, match.index)), variable(server, { whole, kind, name, otherwise }));
      last = match.index + whole.length;
    }
    if (last > 0) return parts.join("") + escaped(text.slice(last));
    const scheme = SCHEME.exec(text)?.[0] ?? "";
    const value = text.slice(scheme.length);
    if (scheme === "" && !isSecret(what, text)) return escaped(text);
    return `${scheme}${secret(server, { what, from, value })}`;
  }

  function variable(
    server: string,
    {
      whole,
      kind,
      name,
      otherwise,
    }: { whole: string; kind: string | undefined; name: string; otherwise: string | undefined },
  ): string {
    if (kind === "input") return secret(server, { what: name, from: inputs.get(name) || `the input ${name}` });
    if (kind === undefined && EDITOR_VARIABLE.test(name)) {
      warnings.add(`${server}: ${whole} is put in by the editor; write what it stands for`);
      return escaped(whole);
    }
    if (otherwise !== undefined && otherwise !== "" && !isSecret(name, otherwise)) return escaped(otherwise);
    return secret(server, {
      what: name,
      from: `the environment variable ${name}`,
      ...(otherwise ? { value: otherwise } : {}),
    });
  }

  return {
    secrets,
    values,
    get warnings() {
      return [...warnings].slice(0, WARNINGS_MAX);
    },
    warn: (message) => void warnings.add(message),
    secret,
    toText,
  };
}

/** A plain `${` is no placeholder. */
export function escaped(text: string): string {
  return text.replaceAll("${", () => "$${");
}

/** Whether a value is, or may be, a secret: rather one too many than one that lies about in plain text. */
export function isSecret(name: string, value: string): boolean {
  if (HARMLESS.test(value)) return false;
  if (KNOWN_SECRET.test(value)) return true;
  if (SECRET_NAME.test(name) && !ABOUT_SECRET.test(name)) return true;
  return isRandom(value);
}

/** Long, in one piece, with digits between letters: no word, path, url or version. */
function isRandom(value: string): boolean {
  if (value.length < RANDOM_MIN_CHARS || !/^[A-Za-z0-9+/_=-]+$/.test(value)) return false;
  const changes = [...value.matchAll(/[a-z][A-Z0-9]|[0-9][A-Za-z]|[A-Z][a-z0-9]/g)].length;
  return /\d/.test(value) && /[A-Za-z]/.test(value) && !value.includes("/") && changes >= value.length / 6;
}
