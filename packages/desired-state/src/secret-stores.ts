import { dirname, resolve } from "node:path";
import { z } from "zod";
import { boolean, number } from "./scalars.ts";

// Where servers' secrets come from. Messages never repeat a value: it may be a secret.

const TEXT_MAX_CHARS = 4_096;
const PATHS_MAX = 1_000;
const REFRESH_MAX_SECONDS = 3_600;
const TIMEOUT_MAX_SECONDS = 60;
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;
/** Of Vault's paths: no step that leads elsewhere, and nothing that a URL would have to escape. */
const VAULT_PATH = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*$/;

export const SECRET_STORES = ["files", "tollgate", "vault"] as const;
export type SecretStoreName = (typeof SECRET_STORES)[number];

const text = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);
/** Of a header. */
const credential = text.regex(/^[\x21-\x7e]+$/, "has to be printable ASCII without spaces");
const path = text.regex(VAULT_PATH, "has to be a path of A-Z, a-z, 0-9, _, . and - between slashes");

const vaultShape = z.strictObject({
  url: text.superRefine((value, context) => {
    const url = URL.parse(value);
    if (url === null || !/^https?:$/.test(url.protocol) || /[?#]/.test(value) || url.username !== "")
      context.addIssue("has to be an http or https URL without credentials, query and fragment");
  }),
  /** The one way to be somebody, */
  token: credential.optional(),
  /** or the other: AppRole. */
  role_id: credential.optional(),
  secret_id: credential.optional(),
  namespace: path.optional(),
  mount: path.default("secret"),
  prefix: z
    .string()
    .max(TEXT_MAX_CHARS)
    .refine((prefix) => VAULT_PATH.test(`${prefix}x`), "has to be the beginning of a path")
    .default(""),
  paths: z
    .record(z.string(), text.regex(/^[^#]+#[^#]+$/, 'has to be "path#field"'))
    .refine((paths) => Object.keys(paths).length <= PATHS_MAX, `has more than ${PATHS_MAX} entries`)
    .default({}),
  ca_file: text.optional(),
  timeout: number(z.number().min(0.1).max(TIMEOUT_MAX_SECONDS)).default(5),
  insecure: boolean.default(false),
});

const vaultSchema = vaultShape.superRefine((vault, context) => {
  const mistake = (key: keyof typeof vault, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  const { protocol, hostname } = new URL(vault.url);
  if (protocol === "http:" && !LOOPBACK.test(hostname) && !vault.insecure)
    mistake("url", "would send secrets unencrypted: it has to be https, or say insecure: true");
  const isRole = vault.role_id !== undefined || vault.secret_id !== undefined;
  if ((vault.token === undefined) === !isRole) context.addIssue("needs either token, or role_id and secret_id");
  if ((vault.role_id === undefined) !== (vault.secret_id === undefined))
    mistake(vault.role_id === undefined ? "role_id" : "secret_id", "is missing: the two go together");
  for (const [name, place] of Object.entries(vault.paths))
    if (!VAULT_PATH.test(place.slice(0, place.indexOf("#"))))
      context.addIssue({ code: "custom", path: ["paths", name], message: "does not begin with a path of Vault" });
});

const sectionShape = z.strictObject({
  stores: z
    .array(z.enum(SECRET_STORES))
    .min(1, "is empty")
    .refine((stores) => new Set(stores).size === stores.length, "has a store twice")
    .default(["files", "tollgate"]),
  refresh_seconds: number(z.number().min(1).max(REFRESH_MAX_SECONDS)).default(60),
  vault: vaultSchema.optional(),
});

export const secretStoresSchema = sectionShape.superRefine(({ stores, vault }, context) => {
  if (stores.includes("vault") === (vault !== undefined)) return;
  if (vault === undefined)
    context.addIssue({ code: "custom", path: ["stores"], message: "names vault, and there are no settings for it" });
  else context.addIssue({ code: "custom", path: ["vault"], message: "is not among the stores; nothing would heed it" });
});

export const SECRET_STORES_KEYS: Readonly<Record<string, readonly string[]>> = {
  secrets: Object.keys(sectionShape.shape),
  "secrets.vault": Object.keys(vaultShape.shape),
};

export interface DesiredVault {
  /** Without a slash at its end. */
  readonly url: string;
  /** How it is asked: secrets, all of them. */
  readonly login: { readonly token: string } | { readonly roleId: string; readonly secretId: string };
  readonly namespace: string | undefined;
  readonly mount: string;
  /** What a secret's name is put behind where `paths` does not have it. */
  readonly prefix: string;
  readonly paths: Readonly<Record<string, { readonly path: string; readonly field: string }>>;
  /** Absolute. */
  readonly caFile: string | undefined;
  readonly timeoutMs: number;
}

/** Where the secrets of servers come from. */
export interface DesiredSecretStores {
  /** In the order in which they are asked. */
  readonly stores: readonly SecretStoreName[];
  readonly refreshMs: number;
  readonly vault: DesiredVault | undefined;
}

export function toSecretStores(parsed: z.infer<typeof secretStoresSchema>, file: string): DesiredSecretStores {
  const { stores, refresh_seconds, vault } = parsed;
  return { stores, refreshMs: Math.round(refresh_seconds * 1_000), vault: vault && toVault(vault, file) };
}

function toVault(vault: z.infer<typeof vaultSchema>, file: string): DesiredVault {
  const { token, role_id: roleId = "", secret_id: secretId = "" } = vault;
  const paths = Object.entries(vault.paths).map(([name, place]) => {
    const at = place.indexOf("#");
    return [name, { path: place.slice(0, at), field: place.slice(at + 1) }];
  });
  return {
    url: vault.url.replace(/\/+$/, ""),
    login: token === undefined ? { roleId, secretId } : { token },
    namespace: vault.namespace,
    mount: vault.mount,
    prefix: vault.prefix,
    paths: Object.fromEntries(paths),
    caFile: vault.ca_file === undefined ? undefined : resolve(dirname(resolve(file)), vault.ca_file),
    timeoutMs: Math.round(vault.timeout * 1_000),
  };
}
