import { fieldsAt, listAt, textAt } from "./openapi-document.ts";

const URL_MAX_CHARS = 2_048;
/** Of one list; those of other protocols are few. */
const SERVERS_MAX = 10;

/** The first url of a document's, path's or operation's `servers`, without a slash at its end; only of HTTP. */
export function serverUrlOf(holder: unknown, from: string | undefined): string | undefined {
  for (const server of listAt(holder, "servers").slice(0, SERVERS_MAX)) {
    const template = textAt(server, "url") ?? "";
    if (template.length > URL_MAX_CHARS) continue;
    const variables = fieldsAt(server, "variables");
    const filled = template.replaceAll(/\{([^{}]*)\}/g, (whole, name: string) => {
      const value: unknown = fieldsAt(variables, name)["default"];
      return typeof value === "string" || typeof value === "number" ? String(value).slice(0, URL_MAX_CHARS) : whole;
    });
    const url = URL.parse(filled, from);
    if (url === null || filled.includes("{") || filled.length > URL_MAX_CHARS || !/^https?:$/.test(url.protocol))
      continue;
    if (url.username === "" && url.password === "") return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
  }
  return undefined;
}
