import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { AppError } from "@tollgate/errors";
import type { LaunchContext, LaunchSpec, Start } from "./command.ts";
import { runInstaller } from "./installer.ts";
import { findExecutable, installHint } from "./program.ts";

const NO_SUCH_IMAGE = /no such (?:image|object)|image not known/i;
const ENGINES = ["docker", "podman"];
/** An image that needs more can have `sandbox: {mode: "off"}`. */
const CONFINED = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
/** By these the engine's client is told where its engine is. A container cannot have them: the client would heed them. */
const FOR_CLIENT = /^(?:DOCKER|CONTAINERS?|PODMAN|XDG)_\w+$/;
/** Podman without a daemon keeps its images below HOME, and starts programs that it finds on PATH. */
const FOR_PODMAN = /^(?:HOME|PATH|TMPDIR)$/;

/**
 * A container of the image `command`, whose standard input and output are the client's. It has no more than what its
 * server declares: no capabilities, nothing writable but /tmp and the declared folders.
 */
export async function containerStart(spec: LaunchSpec, context: LaunchContext): Promise<Start> {
  const engine = requireEngine(context.env);
  const { baseEnv } = context;
  const client: Record<string, string> = {};
  for (const [name, value] of Object.entries(baseEnv)) {
    if (value !== undefined && FOR_CLIENT.test(name)) client[name] = value;
  }
  // Its configuration stays the runner's, also where the container has another HOME.
  if (baseEnv["HOME"] !== undefined) client["DOCKER_CONFIG"] ??= join(baseEnv["HOME"], ".docker");
  const taken = Object.keys(spec.env).find(
    (name) => FOR_CLIENT.test(name) || (engine.isPodman && FOR_PODMAN.test(name)),
  );
  if (taken !== undefined) {
    throw new AppError("unavailable", `the variable ${taken} is for ${engine.name} itself; a container cannot have it`);
  }
  await requireImage(engine, spec.command, { ...context, installerEnv: { ...context.installerEnv, ...client } });
  const name = `tollgate-${randomBytes(8).toString("hex")}`;
  return {
    command: engine.file,
    cwd: process.cwd(),
    args: ["run", ...runOptions(spec, name), spec.command, ...spec.args],
    env: client,
    files: [],
    container: { name },
  };
}

interface Engine {
  readonly name: string;
  readonly file: string;
  readonly isPodman: boolean;
}

function requireEngine(env: LaunchContext["env"]): Engine {
  for (const name of ENGINES) {
    const file = findExecutable({ command: name, cwd: "/", env });
    if (file !== undefined) return { name, file, isPodman: name === "podman" };
  }
  throw new AppError("unavailable", `neither docker nor podman is there; ${installHint("docker")}`);
}

/** An image that the engine does not have is fetched, once, with a bound; `run` would do so without one. */
async function requireImage(engine: Engine, image: string, context: LaunchContext): Promise<void> {
  const options = { env: context.installerEnv, cwd: process.cwd(), signal: context.signal };
  const run = (what: string, ...args: string[]) => runInstaller(what, [engine.file, ...args], options);
  try {
    await run(`${engine.name} does not answer`, "image", "inspect", "--format", "{{.Id}}", image);
  } catch (error) {
    if (!NO_SUCH_IMAGE.test((error as AppError).message)) throw error;
    await run(`the image ${image} is not there, and ${engine.name} could not fetch it`, "pull", "--quiet", image);
  }
}

function runOptions(spec: LaunchSpec, name: string): string[] {
  const { limits, sandbox, env, workingDir } = spec;
  // The engine refuses more than it has.
  const cpus = Math.min(limits.cpuMillis / 1_000, availableParallelism());
  return [
    "--rm",
    "-i",
    "--init",
    // It has been fetched, within bounds.
    "--pull=never",
    `--name=${name}`,
    `--label=tollgate.server=${spec.serverId}`,
    `--label=tollgate.runner=${process.pid}`,
    ...(sandbox.mode === "off" ? [] : CONFINED),
    ...(sandbox.network ? [] : ["--network=none"]),
    ...sandbox.read.map((folder) => `--mount=${bindMount(folder, "readonly")}`),
    ...sandbox.write.map((folder) => `--mount=${bindMount(folder)}`),
    // Without swap beside it.
    ...(limits.memoryBytes === 0 ? [] : [`--memory=${limits.memoryBytes}b`, `--memory-swap=${limits.memoryBytes}b`]),
    ...(limits.cpuMillis === 0 ? [] : [`--cpus=${cpus.toFixed(3)}`]),
    ...(limits.processes === 0 ? [] : [`--pids-limit=${limits.processes}`]),
    ...(limits.openFiles === 0 ? [] : [`--ulimit=nofile=${limits.openFiles}:${limits.openFiles}`]),
    // Names only: the client takes the values from its own environment, and no list of processes shows them.
    ...Object.keys(env).map((variable) => `--env=${variable}`),
    ...(workingDir === "" ? [] : [`--workdir=${workingDir}`]),
  ];
}

/** Under the same path as outside. Unlike `-v`, a folder that is not there is an error and is not made. */
function bindMount(folder: string, ...rest: string[]): string {
  // The option is a line of CSV.
  const field = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return ["type=bind", field(`source=${folder}`), field(`target=${folder}`), ...rest].join(",");
}
