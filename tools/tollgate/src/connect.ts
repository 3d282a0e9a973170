import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { AppError } from "@tollgate/errors";
import { z } from "zod";
import type { ApiTarget } from "./api.ts";
import type { StateDir } from "./state-dir.ts";

const schema = z.object({
  gatewayUrl: z.string(),
  adminToken: z.string(),
  /** Of AI clients. */
  token: z.string(),
  databaseUrl: z.string().optional(),
  certFile: z.string().optional(),
});
/** How the installation of this machine is reached. */
export type Connect = z.infer<typeof schema>;

/** @throws {AppError} unavailable when none was started with this state */
export function readConnect(state: StateDir): Connect {
  let text: string;
  try {
    text = readFileSync(state.connectFile, "utf8");
  } catch (error) {
    throw new AppError("unavailable", `Tollgate does not run here: there is no ${state.connectFile}`, {
      cause: error,
      details: { connectFile: state.connectFile },
    });
  }
  return schema.parse(JSON.parse(text));
}

/** Which gateway a command is for, as it was said on the command line. */
export interface GatewayOptions {
  readonly url?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
}

export interface Target extends ApiTarget {
  /** With which AI clients come, for what is done in their place. */
  readonly clientToken: string;
  /** It is the installation of this folder. */
  readonly isOwn: boolean;
}

/**
 * The gateway of the command line or of the environment, else that of the installation whose state this is.
 * @throws {AppError} unauthenticated without a token for another one; unavailable when there is no installation
 */
export function findGateway(
  options: GatewayOptions,
  around: { env: Readonly<Record<string, string | undefined>>; here: string; state: StateDir },
): Target {
  const { env, here, state } = around;
  const said = (name: string) => (env[name] === "" ? undefined : env[name]);
  const given = options.token ?? tokenIn(options.tokenFile, here);
  const caFile = options.caFile ?? said("TOLLGATE_CA_FILE");
  const known = given ?? said("TOLLGATE_ADMIN_TOKEN");
  const url = options.url ?? said("TOLLGATE_URL");
  if (url === undefined) {
    const { gatewayUrl, adminToken, token, certFile } = readConnect(state);
    const own = { url: gatewayUrl, certFile, isOwn: true };
    return { ...own, token: known ?? adminToken, clientToken: given ?? token };
  }
  if (known === undefined)
    throw new AppError("unauthenticated", `there is no token for ${url}`, { details: { gateway: url } });
  return {
    url: originOf(url),
    caFile: caFile === undefined ? undefined : resolve(here, caFile),
    isOwn: false,
    token: known,
    clientToken: given ?? said("TOLLGATE_TOKEN") ?? known,
  };
}

/** AI clients know the gateway with the path of its endpoint. */
function originOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
    throw new AppError("invalid_argument", `${url} is no URL of a gateway, such as https://tollgate.example.com`);
  return `${parsed.origin}${parsed.pathname.replace(/\/(mcp(\/.*)?)?$/, "")}`;
}

function tokenIn(file: string | undefined, here: string): string | undefined {
  if (file === undefined) return undefined;
  const path = resolve(here, file);
  try {
    const text = readFileSync(path, "utf8").trim();
    if (text !== "") return text;
  } catch (error) {
    throw new AppError(
      "invalid_argument",
      `--token-file ${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`,
    );
  }
  throw new AppError("invalid_argument", `--token-file ${path} is empty`);
}
