import { execFile } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { promisify } from "node:util";
import type { StateDir } from "../state-dir.ts";
import { type Finding, ok, problem, some, warning } from "./finding.ts";

const NODE_MIN = 24;
const PROGRAM_WITHIN_MS = 5_000;
const OTHERS = 0o077;
/** Which programs start servers of a type: one of each list is enough. */
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  python: ["python3"],
  uv: ["uv"],
  container: ["docker", "podman"],
};

export function checkNode(version = process.versions.node): Finding {
  if (Number.parseInt(version, 10) >= NODE_MIN) return ok(`Node ${version}`);
  return problem(
    `Node ${version} is too old`,
    `npm start brings Node ${NODE_MIN}; else install it from https://nodejs.org`,
  );
}

/** Whether what is secret is closed to others. */
export function checkPermissions(state: StateDir, secretsDir: string | undefined): Finding[] {
  const places = [state.dir, state.secretsFile, state.connectFile, ...(secretsDir === undefined ? [] : [secretsDir])];
  const there = places.filter((place) => existsSync(place));
  if (there.length === 0) return [];
  const open = there.filter((place) => (statSync(place).mode & OTHERS) !== 0);
  if (open.length === 0) return [ok(`closed to others: ${some(there)}`)];
  return open.map((place) => problem(`others on this machine can read ${place}`, `chmod go-rwx ${place}`));
}

/** Only of types that servers are of. */
export async function checkRuntimes(types: ReadonlySet<string>): Promise<Finding[]> {
  const asked = Object.entries(RUNTIMES).filter(([type]) => types.has(type));
  return Promise.all(
    asked.map(async ([type, programs]) => {
      for (const program of programs) {
        const version = await versionOf(program);
        if (version !== undefined) return ok(`${program} for servers of the type ${type}: ${version}`);
      }
      const names = programs.join(" or ");
      return problem(`servers of the type ${type} need ${names}, which this machine has not`, `install ${names}`);
    }),
  );
}

async function versionOf(program: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(program, ["--version"], { timeout: PROGRAM_WITHIN_MS });
    return stdout.split("\n")[0]!.trim();
  } catch {
    return undefined;
  }
}

/** Of what is to be started: whether it could listen. */
export async function checkPort(host: string, port: number): Promise<Finding> {
  const { assertPortFree } = await import("../ports.ts");
  try {
    await assertPortFree(host, port);
    return ok(`the port ${port} is free`);
  } catch (error) {
    return warning(
      (error as Error).message,
      "or it is another Tollgate: --state DIR names its folder, --url its place",
    );
  }
}
