import type { ImportedSecret } from "./entries.ts";
import { isLabel, isSecret, isSecretJson, isSecretName, MASK, type SecretPart, secretsIn } from "./plain-secrets.ts";

const NAME_MAX_CHARS = 128;
/** A scheme of HTTP and what follows it. */
const SCHEME = /^(Bearer|Basic|Token|ApiKey|Bot|Digest|token|bearer)\s+(?=\S)/;
/** What editors put in themselves. */
const EDITOR_VARIABLE = /^(?:workspaceFolder|workspaceFolderBasename|userHome|pathSeparator|file|cwd|\/)/;
/** `${env:NAME}`, `${input:ID}`, `${NAME}` and `${NAME:-default}`, as clients' files have them. */
const VARIABLE = /\$\{(?:(env|input):)?([^{}:]+)(?::-([^{}]*))?\}/g;

/** Beside a variable less than this is no secret, unless it looks like one. */
const BESIDE_MIN_CHARS = 8;

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

  function toText(server: string, text: string, about: { what: string; from: string }): string {
    const variables = [...text.matchAll(VARIABLE)];
    const masked = text.replaceAll(VARIABLE, (whole) => MASK.repeat(whole.length));
    if (isSecretJson(masked)) {
      // With variables in it nobody knows the whole of it.
      if (variables.length > 0) warnings.add(`${server}: ${about.from} holds secrets and variables: set it as a whole`);
      return secret(server, { ...about, ...(variables.length === 0 ? { value: text } : {}) });
    }
    if (variables.length === 0) {
      const scheme = SCHEME.exec(text)?.[0] ?? "";
      if (scheme !== "" || isSecret(about.what, text))
        return `${scheme}${secret(server, { ...about, value: text.slice(scheme.length) })}`;
    }
    const parts = secretsIn(masked);
    const shown: string[] = [];
    let last = 0;
    const show = (end: number): void => {
      shown.push(literal(server, { text, start: last, end, parts, isBeside: variables.length > 0 }, about));
      last = end;
    };
    for (const match of variables) {
      show(match.index);
      const [whole, kind, name = "", otherwise] = match;
      shown.push(variable(server, { whole, kind, name, otherwise }));
      last += whole.length;
    }
    show(text.length);
    return shown.join("");
  }

  /** A piece of a text without variables. */
  function literal(
    server: string,
    piece: { text: string; start: number; end: number; parts: readonly SecretPart[]; isBeside: boolean },
    { what, from }: { what: string; from: string },
  ): string {
    const { text, start, end, isBeside } = piece;
    const plain = text.slice(start, end);
    if (isBeside && plain.length >= BESIDE_MIN_CHARS && isSecretName(what) && !isLabel(plain))
      return secret(server, { what, from, value: plain });
    const shown: string[] = [];
    let last = start;
    for (const part of piece.parts) {
      const [first, to] = [Math.max(part.start, start), Math.min(part.end, end)];
      if (first >= to) continue;
      const value = text.slice(first, to);
      shown.push(escaped(text.slice(last, first)), secret(server, { what: part.name ?? what, from, value }));
      last = to;
    }
    return shown.join("") + escaped(text.slice(last, end));
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
