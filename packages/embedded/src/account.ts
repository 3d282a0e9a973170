import { EmbeddedError } from "./embedded-error.ts";
import { type Command, runToEnd } from "./process.ts";

const probeWithinMs = 10_000;

/** Who owns PostgreSQL's data and runs its programs. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Turns a program and its arguments into a command of the account that PostgreSQL runs as. */
export type RunAs = (file: string, args: readonly string[]) => Command;

/** False on systems without user ids, where nothing has to change. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** The account of this process, or `nobody` for root, as whom PostgreSQL refuses to run. */
export async function defaultOwner(): Promise<Owner> {
  if (!isRoot()) return { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 };
  const [uid, gid] = await Promise.all(["-u", "-g"].map((flag) => readId(flag)));
  if (uid === undefined || gid === undefined)
    throw new EmbeddedError(
      "failed_precondition",
      'PostgreSQL does not run as root, and there is no user "nobody" to run it as; start as another user',
    );
  return { uid, gid };
}

async function readId(flag: string): Promise<number | undefined> {
  const { code, output } = await runToEnd({ file: "id", args: [flag, "nobody"] }, { timeoutMs: probeWithinMs });
  const id = Number.parseInt(output, 10);
  return code === 0 && id >= 0 ? id : undefined;
}

/**
 * How to run `program` on `dir` as `owner`. A plain change of user is enough unless a folder on the way is closed to others
 * (a clone in /root, say): then the capability to pass closed folders is kept, the weaker of the two that allow it first.
 * (Containers commonly have only the second.) Each way is proved by running the program from within `dir`.
 * @throws EmbeddedError when no way works, saying what the last one said
 */
export async function findRunAs(options: {
  readonly owner: Owner;
  readonly program: string;
  readonly dir: string;
  readonly signal: AbortSignal | undefined;
}): Promise<RunAs> {
  const { owner, program, dir, signal } = options;
  let said = "";
  for (const runAs of waysToRunAs(owner)) {
    const probe = runAs("/bin/sh", ["-c", 'cd "$1" && exec "$2" --version', "sh", dir, program]);
    const result = await runToEnd(probe, { timeoutMs: probeWithinMs, signal }).catch((error: unknown) => ({
      code: null,
      output: error instanceof Error ? error.message : String(error),
    }));
    if (result.code === 0) return runAs;
    said = result.output.trim().split("\n").at(-1) ?? "";
  }
  const who = isRoot()
    ? ` as user ${owner.uid} (it refuses to run as root); move the project to a folder open to all, or start as that user`
    : "";
  throw new EmbeddedError("failed_precondition", `PostgreSQL (${program}) cannot be run on ${dir}${who}: ${said}`);
}

function waysToRunAs(owner: Owner): RunAs[] {
  if (!isRoot()) return [(file, args) => ({ file, args })];
  const plain: RunAs = (file, args) => ({ file, args, ...owner });
  const withCapability = (capability: string): RunAs => {
    const ids = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"];
    const kept = [`--inh-caps=+${capability}`, `--ambient-caps=+${capability}`];
    // Else access(2), with which initdb looks for its programs, would not count the capability.
    const counted = "--securebits=+no_setuid_fixup";
    return (file, args) => ({ file: "setpriv", args: [counted, ...ids, ...kept, "--", file, ...args] });
  };
  return [plain, withCapability("dac_read_search"), withCapability("dac_override")];
}
