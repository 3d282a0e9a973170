import type { ImportedServer } from "./entries.ts";
import { formOf, type Form, type Launch } from "./launch-forms.ts";
import { isSecretName } from "./plain-secrets.ts";
import { escaped, type Findings } from "./secrets.ts";

const NAME_MAX_CHARS = 200;
const TEXT_MAX_CHARS = 32_768;
const HEADER_MAX_CHARS = 16_384;
const URL_MAX_CHARS = 8_192;
const ARGS_MAX = 256;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** The connection and MCP say these themselves. */
const OWN_HEADER =
  /^(?:host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|expect|accept|accept-encoding|content-.*|last-event-id|mcp-.*|sec-websocket-.*)$/i;

/** What a server has besides the way it is started or reached. */
export interface Heading {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly disabled?: boolean;
}

/** How a server on the web is reached, as a client's file says it. */
export interface Connection {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly transport?: "streamable-http" | "sse" | undefined;
}

/** A server that a client starts, as an entry; undefined, with a warning, where it cannot be one. */
export function launchedServer(heading: Heading, launch: Launch, findings: Findings): ImportedServer | undefined {
  const form = formOf(launch);
  for (const warning of form.warnings) findings.warn(`${heading.id}: ${warning}`);
  return form.type === "remote" ? connectedServer(heading, form, findings) : processServer(heading, form, findings);
}

function processServer(
  heading: Heading,
  form: Exclude<Form, { type: "remote" }>,
  findings: Findings,
): ImportedServer | undefined {
  const { id } = heading;
  if (
    form.command === "" ||
    form.args.length > ARGS_MAX ||
    [form.command, form.cwd ?? "", ...form.args].some(isTooLong)
  ) {
    findings.warn(`${id}: is left out: its command cannot be an entry's`);
    return undefined;
  }
  const args = toArgs(id, form.args, findings);
  const env = toEnv(id, form.env, findings);
  const folder =
    form.cwd === undefined ? undefined : findings.toText(id, form.cwd, { what: "working_dir", from: "cwd" });
  if (folder !== undefined && !/^(?:\/|\$\{|[A-Za-z]:)/.test(folder))
    findings.warn(`${id}: working_dir is a relative path: here it starts at the folder of tollgate.yaml`);
  return {
    ...headed(heading),
    type: form.type,
    command: findings.toText(id, form.command, { what: "command", from: "its command" }),
    ...(args.length === 0 ? {} : { args }),
    ...(Object.keys(env).length === 0 ? {} : { env }),
    ...(folder === undefined || folder === "" ? {} : { working_dir: folder }),
    ...off(heading),
  };
}

function isTooLong(text: string): boolean {
  return text.length > TEXT_MAX_CHARS / 2;
}

function headed({ id, name, group }: Heading): Pick<ImportedServer, "id" | "name" | "group"> {
  const title = name.trim().slice(0, NAME_MAX_CHARS).toWellFormed();
  return { id, ...(title === "" || title === id ? {} : { name: escaped(title).slice(0, NAME_MAX_CHARS) }), group };
}

function off({ disabled }: Heading): { enabled?: false } {
  return disabled === true ? { enabled: false } : {};
}

/** `--token VALUE`, `--token=VALUE`, `TOKEN=VALUE` and `Token: VALUE` say in the name what the value is. */
function toArgs(id: string, args: readonly string[], findings: Findings): string[] {
  const shown = args.map((word, at) => {
    const option = /^--?([A-Za-z][\w-]*)(?:=([^]*))?$/.exec(word);
    if (option?.[2] !== undefined)
      return word.slice(0, word.indexOf("=") + 1) + toNamedText(id, option[2], { option: option[1], findings });
    if (option) return escaped(word);
    return toNamedText(id, word, { option: /^--?([A-Za-z][\w-]*)$/.exec(args[at - 1] ?? "")?.[1], findings });
  });
  if (shown.some((word) => /(?<!\$)\$\{secret:/.test(word)))
    findings.warn(
      `${id}: a secret in args is seen by whoever sees the machine's processes; give it in env, if the server can`,
    );
  return shown;
}

/** @param about.option whose value it is */
function toNamedText(
  id: string,
  text: string,
  { option, findings }: { option: string | undefined; findings: Findings },
): string {
  const [, head = "", name = ""] = /^(([A-Za-z_][\w.-]*)(?:=|:\s*(?!\/\/)))./.exec(text) ?? [];
  // Behind -c is a script, of which a variable is the beginning only.
  const isNamed = option !== "c" && isSecretName(name) && !isSecretName(option ?? "");
  const what = isNamed ? name : (option ?? "argument");
  const from = isNamed ? `the argument ${name}` : option === undefined ? "an argument" : `the option ${option}`;
  const value = findings.toText(id, isNamed ? text.slice(head.length) : text, { what, from });
  return isNamed ? escaped(head) + value : value;
}

function toEnv(id: string, env: Readonly<Record<string, string>>, findings: Findings): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (VARIABLE_NAME.test(name) && name !== "__proto__" && !isTooLong(value))
      kept[name] = findings.toText(id, value, { what: name, from: `env ${name}` });
    else findings.warn(`${id}: a variable of env is left out: its name or value is none that a process can have`);
  }
  return kept;
}

/** A server that a client reaches by its url; undefined, with a warning, where it cannot be an entry. */
export function connectedServer(
  heading: Heading,
  connection: Connection,
  findings: Findings,
): ImportedServer | undefined {
  const { id } = heading;
  const split = withoutPassword(connection.url);
  if (split === undefined) {
    findings.warn(`${id}: is left out: its url is none that begins with http://, https://, ws:// or wss://`);
    return undefined;
  }
  const headers = toHeaders(id, { ...split.headers, ...connection.headers }, findings);
  const isWebsocket = /^wss?:/.test(split.url);
  return {
    ...headed(heading),
    type: "remote",
    url: toUrl(id, split.url, findings),
    ...(connection.transport === undefined || isWebsocket ? {} : { transport: connection.transport }),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    ...off(heading),
  };
}

/** A password in a url shows in logs and errors; it goes into the header that it means. */
function withoutPassword(text: string): { url: string; headers: Record<string, string> } | undefined {
  // Variables may stand in the place of a port, where no url has them.
  const sample = text.replaceAll(/\$\{[^{}]*\}/g, "1");
  const url = /^\S+$/.test(sample) && text.length <= URL_MAX_CHARS ? URL.parse(sample) : null;
  if (url === null || !/^(?:https?|wss?):$/.test(url.protocol) || url.hostname === "") return undefined;
  if (url.username === "" && url.password === "") return { url: text, headers: {} };
  const user = `${decoded(url.username)}:${decoded(url.password)}`;
  const bare = text.replace(/^(\w+:\/\/)[^/?#]*@/, "$1");
  return { url: bare, headers: { Authorization: `Basic ${Buffer.from(user).toString("base64")}` } };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Keys may be in a query, too: each of its values is looked at by itself. */
function toUrl(id: string, url: string, findings: Findings): string {
  const at = url.indexOf("?");
  const path = findings.toText(id, at < 0 ? url : url.slice(0, at), { what: "url", from: "its url" });
  if (at < 0) return path;
  const values = url.slice(at + 1).split("&");
  const shown = values.map((pair) => {
    const [, name = "", value = ""] = /^([^=]*)=?([^]*)$/.exec(pair) ?? [];
    return value === ""
      ? escaped(pair)
      : `${escaped(name)}=${findings.toText(id, value, { what: name, from: `${name} in its url` })}`;
  });
  return `${path}?${shown.join("&")}`;
}

function toHeaders(id: string, headers: Readonly<Record<string, string>>, findings: Findings): Record<string, string> {
  const kept = new Map<string, [string, string]>();
  for (const [name, value] of Object.entries(headers)) {
    if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(value) || value.length > HEADER_MAX_CHARS / 2)
      findings.warn(`${id}: a header is left out: its name or value is none`);
    else if (!OWN_HEADER.test(name) && name !== "__proto__")
      kept.set(name.toLowerCase(), [name, findings.toText(id, value, { what: name, from: `the header ${name}` })]);
  }
  return Object.fromEntries(kept.values());
}
