import { readFileSync } from "node:fs";
import { AppError } from "@tollgate/errors";
import { z } from "zod";
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
    const advice = "start it with npm start, or name its folder with --state DIR";
    throw new AppError("unavailable", `Tollgate does not run here: there is no ${state.connectFile}; ${advice}`, {
      cause: error,
    });
  }
  return schema.parse(JSON.parse(text));
}

/** Runs `work`, and says it in words when nobody listens there. */
export async function atGateway<T>(url: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // What fetch throws when nobody listens.
    if (error instanceof TypeError)
      throw new AppError("unavailable", `Tollgate does not run here: nobody answers at ${url}`, { cause: error });
    throw error;
  }
}
