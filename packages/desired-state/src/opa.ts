import { z } from "zod";
import { boolean, number } from "./scalars.ts";

// Messages never repeat a value: it may have come from the environment and be a secret.

const TEXT_MAX_CHARS = 2_048;
/** Gateways wait two seconds for a decision. */
const TIMEOUT_MAX_SECONDS = 1.5;
const CACHE_MAX_SECONDS = 3_600;
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;
const DEFAULT_RULE = "tollgate/allow";

/** What OPA is asked about. Lists show what the policies allow: it cannot be asked about many at once. */
const OPA_ACTIONS = ["tools/call", "resources/read", "prompts/get"] as const;
export type OpaAction = (typeof OPA_ACTIONS)[number];

/** An Open Policy Agent that is asked beside the policies, over its REST data API, as a compiled policy, or both. */
export interface DesiredOpa {
  readonly rest: { readonly url: string; readonly path: string } | undefined;
  /** A secret. */
  readonly token: string | undefined;
  /** `file` may be relative to the configuration file's folder. */
  readonly wasm: { readonly file: string; readonly entrypoint: string } | undefined;
  readonly timeoutMs: number;
  /** How long gateways may remember its answers. */
  readonly cacheMs: number;
  /** It sees the calls' arguments. */
  readonly sendsArguments: boolean;
  readonly actions: readonly OpaAction[];
}

const text = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);
const rule = text.regex(/^[\w.-]+(?:\/[\w.-]+)*$/, "has to be the path of a rule, such as tollgate/allow");
const url = text.superRefine((value, context) => {
  const parsed = URL.parse(value);
  const isPlain = parsed !== null && /^https?:$/.test(parsed.protocol) && !/[?#]/.test(value);
  if (!isPlain) return context.addIssue("has to be an http or https URL without query and fragment");
  if (parsed.username !== "" || parsed.password !== "") context.addIssue("must not hold credentials; give it a token");
});

const opaShape = z.strictObject({
  url: url.optional(),
  path: rule.optional(),
  token: text.regex(/^[\x21-\x7e]+$/, "has to be printable ASCII without spaces").optional(),
  wasm_file: text.optional(),
  entrypoint: rule.optional(),
  timeout: number(z.number().min(0.01).max(TIMEOUT_MAX_SECONDS)).default(0.5),
  cache: number(z.number().min(0).max(CACHE_MAX_SECONDS)).default(0),
  arguments: boolean.default(true),
  actions: z
    .array(z.enum(OPA_ACTIONS))
    .min(1, "is empty")
    .max(OPA_ACTIONS.length)
    .default([...OPA_ACTIONS]),
});

export const opaSchema = opaShape.superRefine((opa, context) => {
  const mistake = (key: keyof typeof opa, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  if (opa.url === undefined && opa.wasm_file === undefined)
    context.addIssue("has nobody to ask: it needs url, wasm_file, or both");
  for (const key of ["path", "token"] as const)
    if (opa[key] !== undefined && opa.url === undefined) mistake(key, "goes with url only");
  if (opa.entrypoint !== undefined && opa.wasm_file === undefined) mistake("entrypoint", "goes with wasm_file only");
  // What varies by a call's arguments is asked at each call anew.
  if (opa.cache > 0 && opa.arguments) mistake("cache", "goes with arguments: false only; nothing would heed it");
  if (opa.token !== undefined && opa.url !== undefined && !keepsSecret(opa.url))
    mistake("token", "would travel unencrypted to another machine: url has to be https");
});

function keepsSecret(address: string): boolean {
  const parsed = URL.parse(address);
  return parsed === null || parsed.protocol === "https:" || LOOPBACK.test(parsed.hostname);
}

export const OPA_KEYS: Readonly<Record<string, readonly string[]>> = {
  "control_plane.opa": Object.keys(opaShape.shape),
};

export function toOpa(parsed: z.infer<typeof opaSchema>): DesiredOpa {
  const { url: address, path = DEFAULT_RULE, wasm_file: file, entrypoint = DEFAULT_RULE } = parsed;
  return {
    rest: address === undefined ? undefined : { url: address.replace(/\/+$/, ""), path },
    token: parsed.token,
    wasm: file === undefined ? undefined : { file, entrypoint },
    timeoutMs: Math.round(parsed.timeout * 1_000),
    cacheMs: Math.round(parsed.cache * 1_000),
    sendsArguments: parsed.arguments,
    actions: parsed.actions,
  };
}
