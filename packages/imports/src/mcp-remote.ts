import type { Form } from "./launch-forms.ts";

const TRANSPORTS = new Map<string, "streamable-http" | "sse">([
  ["http-only", "streamable-http"],
  ["sse-only", "sse"],
]);

/**
 * `mcp-remote URL [PORT] [--header "NAME: VALUE"] [--transport …]` stands between a client that knows only processes and
 * a server on the web. Tollgate goes there itself.
 */
export function mcpRemote(words: readonly string[], env: Readonly<Record<string, string>>): Form | undefined {
  const url = words.find((word) => /^https?:\/\//.test(word));
  if (url === undefined) return undefined;
  const headers: Record<string, string> = {};
  const warnings: string[] = [];
  let transport: "streamable-http" | "sse" | undefined;
  for (const [at, word] of words.entries()) {
    const value = words[at + 1] ?? "";
    if (word === "--transport") transport = TRANSPORTS.get(value);
    else if (word === "--header") {
      const colon = value.indexOf(":");
      // It fills the variables of its own environment.
      const text = value.slice(colon + 1).trim();
      headers[value.slice(0, colon).trim()] = text.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) =>
        Object.hasOwn(env, name) ? env[name]! : whole,
      );
    } else if (/^--static-oauth|^--resource/.test(word)) warnings.push(`${word} of mcp-remote is left out`);
  }
  if (Object.keys(headers).length === 0)
    warnings.push("mcp-remote signs people in by itself; here the server needs a token in headers, if it asks for one");
  return { type: "remote", url, headers, transport, warnings };
}
