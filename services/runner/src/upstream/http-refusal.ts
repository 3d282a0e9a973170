import type { IncomingMessage } from "node:http";
import { RPC } from "@tollgate/mcp";
import { errorOf } from "./server-text.ts";

/** To be read after "the server". */
export const SESSION_GONE = "does not know the session any more";
const SAID_MAX_CHARS = 200;
/** Said by HTTP before a server looks at what a request wants: it has certainly not been taken. */
const REFUSALS = [401, 403, 404, 405, 406, 411, 413, 415, 421, 426, 429, 431];

export function isRefusal(status: number): boolean {
  return REFUSALS.includes(status) || isRedirect(status);
}

/**
 * Whether the answer to a request with a session says that the session is gone. 404 does (2025-11-25, Session
 * Management), save for a method that a server does not know. Servers of the SDK say 400 after they have been started
 * anew, and only the text tells: that there is no such session, or that `initialize` is missing.
 */
export function saysSessionIsGone(status: number, body: string): boolean {
  const error = errorOf(body);
  if (status === 404) return error?.code !== RPC.methodNotFound;
  return status === 400 && error !== undefined && /\bsession\b|\bnot initialized\b/i.test(error.message);
}

/** What a response means that is neither an answer nor JSON-RPC, to be read after "the server". */
export function refusalReason(response: IncomingMessage, body: string): string {
  const status = response.statusCode ?? 0;
  const answered = `answered HTTP ${status}`;
  if (isRedirect(status)) return `${answered} and redirects ${whereTo(response)}: set its url in tollgate.yaml to that`;
  const said = saidIn(response, body);
  if (status === 401)
    return `${answered}${said}: it wants credentials; set the server's headers in tollgate.yaml (Authorization)`;
  if (status === 403)
    return `${answered}${said}: these credentials may not use it; check the server's headers in tollgate.yaml`;
  if (status === 429) {
    const retryAfter = response.headers["retry-after"];
    return `${answered}${said}: too many requests${/^\d+$/.test(retryAfter ?? "") ? `, again after ${retryAfter} s` : ""}`;
  }
  return `${answered}${said}`;
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400 && status !== 304;
}

/** Origin and path; a query may hold what is secret. */
function whereTo(response: IncomingMessage): string {
  const { location = "" } = response.headers;
  if (!URL.canParse(location, "http://same.invalid")) return "nowhere";
  const { origin, pathname, hostname } = new URL(location, "http://same.invalid");
  return `to ${hostname === "same.invalid" ? "" : origin}${pathname}`.slice(0, SAID_MAX_CHARS);
}

/** What a server says for people: its error's message, or a short plain text. */
function saidIn(response: IncomingMessage, body: string): string {
  const text = errorOf(body)?.message ?? (response.headers["content-type"]?.startsWith("text/plain") ? body : "");
  const line = text.replaceAll(/\s+/g, " ").trim().slice(0, SAID_MAX_CHARS);
  return line === "" ? "" : ` (${line})`;
}
