import { type AppError, toAppError } from "@tollgate/errors";
import type { Api } from "./api.ts";
import { type Row, textOf } from "./table.ts";

/** Ids of one list that are looked at. */
const LISTED_MAX = 1_000;
const SHOWN_MAX = 20;
const TOKEN_PLACES =
  "--token-file FILE, TOLLGATE_ADMIN_TOKEN, or .tollgate/connect.json of an installation in this folder";

/** An error with what can be done about it, for people. */
export async function explain(error: unknown, api: (() => Promise<Api>) | undefined): Promise<string> {
  const message = error instanceof Error ? error.message : String(error);
  // What was not thrown on purpose says what it is.
  const known = toAppError(error);
  const step = known === error ? await stepOrNone(known, api) : undefined;
  const places = placesOf(known.details);
  const head = places.length === 0 ? message : message.split(places[0]!.trim())[0]!.trimEnd();
  return [head, ...places, ...(step === undefined ? [] : [step])].join("\n");
}

/** The places of the mistakes in what was sent. */
function placesOf({ errors, mistakes }: Row): string[] {
  if (Array.isArray(mistakes)) return mistakes.map((each) => `  ${String(each)}`);
  if (!Array.isArray(errors) || errors.length < 2) return [];
  return (errors as { path?: string; message?: string }[]).map(({ path = "", message = "" }) => `  ${path} ${message}`);
}

/** Advice that cannot be had is none. */
async function stepOrNone(error: AppError, api: (() => Promise<Api>) | undefined): Promise<string | undefined> {
  try {
    return await nextStep(error, api);
  } catch {
    return undefined;
  }
}

async function nextStep(error: AppError, api: (() => Promise<Api>) | undefined): Promise<string | undefined> {
  const { code, details } = error;
  if (details["status"] === 412) return staleStep(details);
  if (code === "unauthenticated") return `A token is read from ${TOKEN_PLACES}.`;
  if (code === "permission_denied") return permissionStep(error);
  if (code === "not_found" && api !== undefined) return nearStep(details, await api());
  if (code === "overloaded") return `Try again in ${textOf(details["retryAfterSeconds"]) || "some"} s.`;
  if (code === "unavailable" || code === "deadline_exceeded") return reachStep(details);
  if (code === "method_not_found") return "This gateway may be older than this command: compare with tollgate version.";
  return undefined;
}

function staleStep(details: Row): string {
  const now = details["version"] === undefined ? "" : ` (it is version ${textOf(details["version"])} now)`;
  return `Somebody else has changed it meanwhile${now}: look at it with "show", make your change in that, and send it again.`;
}

function permissionStep({ message, details }: AppError): string | undefined {
  const action = details["action"];
  if (typeof action !== "string") return undefined;
  const who = /^(\S+) may not/.exec(message)?.[1] ?? "NAME";
  const principal = who.includes(":") ? who : `token:${who}`;
  const policy = `{ name: ${action.replaceAll("/", "-")}-for-${who.replace(/\W+/g, "-")}, effect: allow, principals: ["${principal}"], actions: ["${action}"], resources: ["*"] }`;
  return `A token with the permission admin may do it, or a policy allows it:\n  ${policy}`;
}

function reachStep({ connectFile, gateway, reason }: Row): string | undefined {
  if (typeof connectFile === "string")
    return "Start it with npm start, name its folder with --state DIR, or another gateway with --url URL.";
  if (typeof gateway !== "string") return undefined;
  if (typeof reason === "string" && /CERT|SSL|TLS|certificate/i.test(reason))
    return "Name the authority of its certificate with --ca-file FILE.";
  return "Start it with npm start, or name the gateway with --url URL.";
}

/** Looks along the path for the first id that its list does not have, and for one that is nearly the same. */
async function nearStep({ request }: Row, api: Api): Promise<string | undefined> {
  const path = (request as { path?: string } | undefined)?.path ?? "";
  const steps = path.split("?")[0]!.split("/").slice(3);
  for (let at = 0; at + 1 < steps.length; at += 2) {
    const id = decodeURIComponent(steps[at + 1]!);
    const list = `/api/v1/${steps.slice(0, at + 1).join("/")}`;
    const known = await idsOf(api, list);
    if (known.includes(id)) continue;
    const { nearest } = await import("@tollgate/desired-state");
    const near = nearest(id, known) ?? known.find((each) => each.startsWith(id));
    if (near !== undefined) return `Is ${near} meant?`;
    const more = known.length > SHOWN_MAX ? ", …" : "";
    return known.length === 0 ? undefined : `There are ${known.slice(0, SHOWN_MAX).join(", ")}${more}.`;
  }
  return undefined;
}

/** By which the items of a list are known. */
export async function idsOf(api: Api, list: string, options: { timeoutMs?: number } = {}): Promise<string[]> {
  const { items } = await api.list(list, { limit: LISTED_MAX, ...options });
  return items.map((item) => item["id"] ?? item["name"]).filter((id) => typeof id === "string");
}
