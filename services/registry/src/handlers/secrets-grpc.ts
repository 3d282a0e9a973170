import { changeEvent, secretsV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Log, type Pool, unary } from "@tollgate/service";
import { type Envelopes, keyIdOf } from "../domain/envelope.ts";
import { aboutSecret, parseSecret } from "../domain/secret.ts";
import { deleteSecret, putSecret, readSecrets, type Rewrapped, rewrapAll, type SecretRow } from "../store/secrets.ts";
import type { Catalogue } from "./catalogue.ts";
import { NO_KEYS } from "./own-secrets.ts";
import type { SecretStores } from "./secret-stores.ts";

interface Options {
  readonly pool: Pool;
  readonly envelopes: Envelopes | undefined;
  readonly stores: SecretStores;
  readonly catalogue: Catalogue;
  readonly log: Log;
}

/** SecretService of proto/tollgate/registry/v1. No answer, event or log line of it holds a value. */
export function createSecretsGrpc(options: Options): {
  definition: secretsV1.SecretServiceService;
  implementation: secretsV1.SecretServiceServer;
} {
  const { log } = options;
  return {
    definition: secretsV1.SecretServiceService,
    implementation: {
      listSecrets: unary(log, () => listSecrets(options)),
      putSecret: unary(log, (request) => takeSecret(request, options)),
      deleteSecret: unary(log, (request) => dropSecret(request, options)),
      rotateKeys: unary(log, (request) => rotateKeys(request, options)),
    },
  };
}

async function listSecrets({ pool, envelopes, stores }: Options): Promise<secretsV1.ListSecretsResponse> {
  const rows = new Map((await readSecrets(pool)).map((row) => [row.name, row]));
  const names = [...new Set([...rows.keys(), ...stores.users().keys()])].toSorted();
  const secrets = names.map((name) => toSecret(name, rows.get(name), { envelopes, stores }));
  return { secrets, keyId: isStore(stores) ? (envelopes?.keyId ?? "") : "" };
}

function toSecret(
  name: string,
  row: SecretRow | undefined,
  { envelopes, stores }: Pick<Options, "envelopes" | "stores">,
): secretsV1.Secret {
  const known = stores.known().get(name);
  const usedBy = [...(stores.users().get(name) ?? [])];
  // One that nobody uses is not looked up anywhere.
  const store = known?.store ?? (row === undefined ? "" : "tollgate");
  const shadow = row !== undefined && known !== undefined && store !== "" && store !== "tollgate";
  const problem = known?.problem || (row && problemOf(row, envelopes)) || "";
  return secretsV1.Secret.fromPartial({
    name,
    usedBy,
    store,
    problem: problem || (shadow ? `the store ${store} has it too, and comes first` : ""),
    ...(row && { ...shownOf(row), version: row.version, updatedBy: row.updatedBy, keyId: keyIdOf(row.sealed) }),
    createdAtMs: BigInt(row?.createdAt.getTime() ?? 0),
    updatedAtMs: BigInt(row?.updatedAt.getTime() ?? 0),
  });
}

function problemOf({ name, version, servers, sealed }: SecretRow, envelopes: Envelopes | undefined): string {
  if (envelopes === undefined) return NO_KEYS;
  try {
    envelopes.open(sealed, aboutSecret(name, version, servers));
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

function isStore(stores: SecretStores): boolean {
  return stores.settings().stores.includes("tollgate");
}

async function takeSecret(request: secretsV1.PutSecretRequest, options: Options): Promise<secretsV1.PutSecretResponse> {
  const { pool, stores, catalogue, log } = options;
  const { name, actor, address, ifVersion, createOnly, keepServers } = request;
  const given = parseSecret({ ...request, servers: keepServers ? undefined : request.servers });
  if (!given.ok) throw new AppError("invalid_argument", given.reason);
  const envelopes = envelopesOf(options);
  if (!isStore(stores))
    throw new AppError("failed_precondition", "secrets.stores of tollgate.yaml does not name tollgate");
  const { value, description, servers } = given.value;
  const users = stores.users().get(name) ?? [];
  const others = servers === undefined || servers.length === 0 ? [] : users.filter((user) => !servers.includes(user));
  if (others.length > 0)
    throw new AppError("failed_precondition", `${others.join(", ")} would lose the secret "${name}": they name it`);
  const seal = ({ version, servers: its }: Pick<SecretRow, "version" | "servers">): string =>
    envelopes.seal(value, aboutSecret(name, version, its));
  const { before, after } = await putSecret(
    pool,
    { name, servers, description, updatedBy: actor, seal },
    { ifVersion, createOnly, eventOf: changeOf(name, actor, address) },
  );
  log.info({ secret: name, version: after.version, actor }, "secret stored");
  await catalogue.refresh();
  return { secret: toSecret(name, after, { envelopes, stores }), created: before === undefined };
}

async function dropSecret(
  { name, ifVersion, actor, address }: secretsV1.DeleteSecretRequest,
  { pool, stores, catalogue, log }: Options,
): Promise<secretsV1.DeleteSecretResponse> {
  const users = stores.users().get(name) ?? [];
  // One that is elsewhere as well may go: the servers have another then.
  if (users.length > 0 && ["tollgate", ""].includes(stores.known().get(name)?.store ?? ""))
    throw new AppError("failed_precondition", `the secret "${name}" is used by ${users.join(", ")}`);
  await deleteSecret(pool, name, { ifVersion, eventOf: changeOf(name, actor, address) });
  log.info({ secret: name, actor }, "secret deleted");
  await catalogue.refresh();
  return {};
}

async function rotateKeys(
  { actor, address }: secretsV1.RotateKeysRequest,
  options: Options,
): Promise<secretsV1.RotateKeysResponse> {
  const envelopes = envelopesOf(options);
  const { keyId } = envelopes;
  const rewrap = (sealed: string): string => envelopes.rewrap(sealed);
  const eventOf = ({ count, failed }: Rewrapped) =>
    changeEvent(
      {
        tenant: "",
        resource: "secret_key",
        name: keyId,
        change: "rotated",
        principal: actor,
        ...(address === "" ? {} : { address }),
        after: { rewrapped: count, failed: failed.length },
      },
      Date.now(),
    );
  const { count, failed } = await rewrapAll(options.pool, { keyId, rewrap, eventOf });
  options.log.info({ keyId, rewrapped: count, failed, actor }, "secrets are wrapped with the newest key");
  if (failed.length > 0) {
    const message = `${count} were wrapped with the key ${keyId}; ${failed.length} could not be: ${failed.join("; ")}`;
    throw new AppError("failed_precondition", message.slice(0, REASON_MAX_CHARS));
  }
  return { rewrapped: count, keyId };
}

const REASON_MAX_CHARS = 2_000;

function envelopesOf({ envelopes }: Options): Envelopes {
  if (envelopes === undefined) throw new AppError("failed_precondition", NO_KEYS);
  return envelopes;
}

/** Values are nowhere in it. */
function changeOf(name: string, principal: string, address: string) {
  return (before: SecretRow | undefined, after: SecretRow | undefined) =>
    changeEvent(
      {
        tenant: "",
        resource: "secret",
        name,
        change: before === undefined ? "created" : after === undefined ? "deleted" : "updated",
        principal,
        ...(address === "" ? {} : { address }),
        ...(before && { before: { version: before.version, ...shownOf(before) } }),
        ...(after && { after: { version: after.version, ...shownOf(after) } }),
      },
      Date.now(),
    );
}

function shownOf({ description, servers }: SecretRow): { description: string; servers: string[] } {
  return { description, servers: [...servers] };
}
