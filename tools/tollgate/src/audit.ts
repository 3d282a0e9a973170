import { resolve } from "node:path";
import type { AuditCommand } from "./audit-command.ts";
import { readConnect } from "./connect.ts";
import type { StateDir } from "./state-dir.ts";

/** Gives the exit code: 0 where all is proven, 1 where something was found, 2 where nothing could be looked at. */
export async function audit(
  command: AuditCommand,
  { here, state }: { here: string; state: StateDir },
): Promise<number> {
  if (command.action === "evidence") {
    const { fetchEvidence } = await import("./audit-evidence.ts");
    const output = command.output === undefined ? undefined : resolve(here, command.output);
    return fetchEvidence({ ...command, output }, readConnect(state));
  }
  const { verifyFile, verifyProof } = await import("./audit-verify.ts");
  const file = command.file === "-" ? undefined : resolve(here, command.file);
  const verify = command.action === "verify" ? verifyFile : verifyProof;
  return verify({ file, key: command.key, json: command.json, here });
}
