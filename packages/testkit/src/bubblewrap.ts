import { homedir } from "node:os";
import { join } from "node:path";
import { findBubblewrap } from "@tollgate/embedded";

/** Bubblewrap's program; downloaded once for all runs, where it is not installed. Undefined where it cannot be had. */
export async function bubblewrapProgram(): Promise<string | undefined> {
  return findBubblewrap({ cacheDir: join(homedir(), ".cache", "tollgate") }).catch(() => undefined);
}
