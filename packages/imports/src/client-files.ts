import type { ImportedServer } from "./entries.ts";
import { type Fields, fieldsAt, isFields, objectsAt, textAt, textsAt } from "./fields.ts";
import type { Findings } from "./secrets.ts";
import { connectedServer, type Heading, launchedServer } from "./server-entry.ts";

const SERVERS_MAX = 1_000;
/** How clients' files call a transport. */
const TRANSPORTS = new Map<string, "streamable-http" | "sse">([
  ["http", "streamable-http"],
  ["streamable-http", "streamable-http"],
  ["streamableHttp", "streamable-http"],
  ["sse", "sse"],
]);

/** The servers of a client's file, by their names. Undefined where it is none. */
export function clientServers(document: unknown): Fields | undefined {
  if (!isFields(document)) return undefined;
  const { mcpServers, servers, mcp } = document;
  // VS Code's settings have what its mcp.json has under "mcp".
  return [mcpServers, servers, fieldsAt(mcp, "servers"), document["mcp.servers"]].find(
    (each) =>
      isFields(each) && Object.values(each).every(isFields) && (each === mcpServers || Object.keys(each).length > 0),
  ) as Fields | undefined;
}

/** What VS Code asks its user for, by id. */
export function inputsOf(document: unknown): Map<string, string> {
  const inputs = [...objectsAt(document, "inputs"), ...objectsAt(fieldsAt(document, "mcp"), "inputs")];
  return new Map(inputs.map((each) => [textAt(each, "id") ?? "", textAt(each, "description") ?? ""]));
}

export function importClientFile(
  servers: Fields,
  options: { group: string; idOf: (name: string) => string; findings: Findings },
): ImportedServer[] {
  const { group, idOf, findings } = options;
  const entries = Object.entries(servers);
  if (entries.length > SERVERS_MAX) findings.warn(`only the first ${SERVERS_MAX} servers are taken`);
  return entries.slice(0, SERVERS_MAX).flatMap(([name, value]) => {
    const fields = isFields(value) ? value : {};
    const disabled = fields["disabled"] === true || fields["enabled"] === false;
    const heading: Heading = { id: idOf(name), name, group, disabled };
    return toServer(heading, fields, findings) ?? [];
  });
}

function toServer(heading: Heading, fields: Fields, findings: Findings): ImportedServer | undefined {
  const { id } = heading;
  if (fields["envFile"] !== undefined) findings.warn(`${id}: envFile is not read; put what it has into env`);
  // Windsurf and Gemini have names of their own for it.
  const url = ["url", "serverUrl", "httpUrl"].map((key) => textAt(fields, key)).find((each) => each !== undefined);
  const command = textAt(fields, "command");
  if (command !== undefined && command.trim() !== "") {
    const args = textsAt(fields, "args");
    const launch = { command: command.trim(), args, env: textsOf(fieldsAt(fields, "env")), cwd: textAt(fields, "cwd") };
    return launchedServer(heading, launch, findings);
  }
  if (url === undefined) {
    findings.warn(`${id}: is left out: it has neither a command nor a url`);
    return undefined;
  }
  if (fields["auth"] !== undefined || fields["oauth"] !== undefined)
    findings.warn(`${id}: sign-in of people is left to clients; here it needs a token in headers`);
  const headers = {
    ...textsOf(fieldsAt(fields, "headers")),
    ...textsOf(fieldsAt(fieldsAt(fields, "requestInit"), "headers")),
  };
  const transport = TRANSPORTS.get(textAt(fields, "type") ?? textAt(fields, "transport") ?? "");
  return connectedServer(heading, { url, headers, transport }, findings);
}

function textsOf(fields: Fields): Record<string, string> {
  const texts = Object.keys(fields).map((name) => [name, textAt(fields, name)] as const);
  return Object.fromEntries(texts.filter((each): each is readonly [string, string] => each[1] !== undefined));
}
