// What in a text of somebody's file is a secret in plain text: rather one too many than one that lies about.

/** What the name of a variable, header or option says about its value. */
const SECRET_NAME =
  /token|api_?-?key|apikey|secret|passw|passphrase|pwd|credential|authorization|auth$|bearer|private_?-?key|access_?-?key|(?:^|[_-])key$|(?:^|[_-])pat$|cookie|connection_?-?string|database_url|(?:^|[_-])dsn$/i;
/** It says where a secret is, or how long it lasts. */
const ABOUT_SECRET = /(?:file|path|dir|url|uri|name|header|expiry|ttl|type|id|endpoint|limit|max_?tokens|tokens)$/i;
const HARMLESS = /^(?:|true|false|yes|no|on|off|none|null|\d{1,6})$/i;
/** How tokens of well-known services begin. */
const KNOWN = String.raw`gh[oprsu]_|github_pat_|glpat-|sk-|sk_|pk_live|rk_live|xox[abeprs]-|xapp-|AKIA|ASIA|AIza|ya29\.|hf_|npm_|pypi-|dop_v1_|ntn_|secret_|lin_api_|figd_`;
/** Those, JSON Web Tokens, private keys, and urls with a password. */
const KNOWN_SECRET = new RegExp(
  String.raw`^(?:${KNOWN}|pat[A-Za-z0-9]{10}|eyJ[\w-]{10,}\.)|-----BEGIN|:\/\/[^/\s:@]*:[^/\s@]+@`,
);
const RANDOM_MIN_CHARS = 24;
/** Stands where a variable is, as often as that has characters: what a variable stands for is not in the text. */
export const MASK = "\u{fffc}";
/** `Bearer ` or `session=`, before a variable. */
const LABEL = /^[A-Za-z][\w-]*(?:\s+|[=:]\s*)$/;
/** JSON in JSON is a text in quotation marks. */
const JSON_DEPTH_MAX = 3;

/** What is a secret in a text that as a whole is none: each gives the last group of its match. */
const PARTS = [
  /** Of HTTP. */
  /\b(?:Bearer|Basic)\s+([^\s"'\\,;]{6,})/gi,
  /:\/\/[^/\s:@]*:([^/\s@]+)@/g,
  new RegExp(String.raw`(?<![A-Za-z0-9])((?:${KNOWN})(?=[\w.~+/=-]*\d)[\w.~+/=-]{12,})`, "g"),
  /(?<![A-Za-z0-9])(eyJ[\w-]{10,}\.[\w.-]+)/g,
];
/** Packages and images have hashes behind these signs. */
const PIECE = /(?<![\w+=@#:-])[A-Za-z0-9_+=-]{24,}/g;
/** `name=value`, `name: value`, `"name": "value"` and `--name value`, where the value is not a shell's variable. */
const NAMED =
  /(?:(?<!\w)([A-Za-z_][\w.-]{0,63})[\\"']{0,4}\s{0,4}[=:]\s{0,4}|--([A-Za-z][\w-]{0,63})\s{1,4})[\\"']{0,4}(?:(?:Bearer|Basic|Token)\s{1,4})?((?![$%])[^\s"'\\,;&|}]+)/g;

/** Where in a text a secret is. */
export interface SecretPart {
  readonly start: number;
  readonly end: number;
  /** What the text calls it. */
  readonly name?: string | undefined;
}

/** Whether a value is, or may be, a secret. */
export function isSecret(name: string, value: string): boolean {
  if (HARMLESS.test(value)) return false;
  return KNOWN_SECRET.test(value) || isSecretName(name) || isRandom(value);
}

export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name) && !ABOUT_SECRET.test(name);
}

export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

/** Long, in one piece, with digits between letters: no word, path, url or version. */
function isRandom(value: string): boolean {
  if (value.length < RANDOM_MIN_CHARS || !/^[A-Za-z0-9+/_=-]+$/.test(value)) return false;
  const changes = [...value.matchAll(/[a-z][A-Z0-9]|[0-9][A-Za-z]|[A-Z][a-z0-9]/g)].length;
  return /\d/.test(value) && /[A-Za-z]/.test(value) && !value.includes("/") && changes >= value.length / 6;
}

/** In the order of the text; none lies in another. */
export function secretsIn(text: string): SecretPart[] {
  const known = PARTS.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => partOf(match)));
  const random = [...text.matchAll(PIECE)].filter(([piece]) => isRandom(piece)).map((match) => partOf(match));
  const named = [...text.matchAll(NAMED)].flatMap((match) => {
    const [, name = match[2] ?? "", , value = ""] = match;
    return isSecretName(name) && !HARMLESS.test(value) ? [{ ...partOf(match), name }] : [];
  });
  const parts: SecretPart[] = [];
  // Of two that begin at one place, the one with a name.
  for (const part of [...named, ...known, ...random].toSorted((one, other) => one.start - other.start)) {
    const last = parts.at(-1);
    if (last === undefined || part.start >= last.end) parts.push(part);
    else if (part.end > last.end) parts[parts.length - 1] = { ...last, end: part.end };
  }
  return parts;
}

function partOf(match: RegExpExecArray): SecretPart {
  const value = match.at(-1) ?? "";
  const end = match.index + match[0].length;
  const start = match.index + match[0].lastIndexOf(value);
  return { start, end: Math.min(end, start + value.length) };
}

/** Whether it is a JSON object in which a secret is, at any depth. */
export function isSecretJson(text: string): boolean {
  if (!/^\s*[{"]/.test(text)) return false;
  let found = false;
  const look = (key: string, value: unknown): unknown => {
    for (const each of [value].flat()) if (typeof each === "string" && holdsSecret(key, each)) found = true;
    return value;
  };
  try {
    let value: unknown = text;
    for (let depth = 0; depth < JSON_DEPTH_MAX && typeof value === "string"; depth += 1)
      value = JSON.parse(value, (key, each: unknown) =>
        key === "" && typeof each === "string" ? each : look(key, each),
      );
    return found && typeof value === "object";
  } catch {
    return false;
  }
}

function holdsSecret(key: string, text: string): boolean {
  const plain = text.replaceAll(MASK, "");
  if (plain !== text && (plain === "" || isLabel(plain))) return false;
  return isSecret(key, plain) || secretsIn(plain).length > 0;
}
