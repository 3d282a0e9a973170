import type { Form, Launch } from "./launch-forms.ts";

/** Options that say what holds for every container here anyway. */
const GIVEN = new Set(["-i", "-t", "-it", "-ti", "--rm", "--init", "--interactive", "--tty", "--quiet", "-q"]);
const WITH_VALUE =
  /^(?:-v|--volume|--mount|--name|--network|--net|-p|--publish|-u|--user|-w|--workdir|--platform|--pull|--entrypoint|--add-host|-l|--label|-m|--memory|--cpus|--hostname|-h|--gpus|--cap-add|--cap-drop|--security-opt|--tmpfs|--env-file|--ulimit|--dns|--ipc|--pid|--shm-size|--restart|--log-driver)$/;
/** The engine's client heeds them itself. */
const FOR_CLIENT = /^(?:DOCKER|CONTAINERS?|PODMAN|XDG)_\w+$/;
const IMAGE = /^[a-z0-9][\w./:@-]*$/i;
const PINNED_IMAGE = /@sha256:[0-9a-f]{64}$|:(?!latest$)[\w.-]+$/;

/** `docker run … IMAGE …` as a server of type container; undefined where it is anything else. */
export function dockerRun(launch: Launch): Form | undefined {
  const [verb, ...words] = launch.args;
  if (verb !== "run") return undefined;
  const env: Record<string, string> = {};
  const lost = new Set<string>();
  let cwd: string | undefined;
  while (words[0]?.startsWith("-") === true) {
    const [option, inline] = splitOption(words.shift()!);
    if (GIVEN.has(option)) continue;
    const isVariable = option === "-e" || option === "--env";
    const value = inline ?? (isVariable || WITH_VALUE.test(option) ? words.shift() : undefined);
    if (isVariable) setVariable(env, value ?? "", launch.env);
    else if (option === "-w" || option === "--workdir") cwd = value;
    // Without knowing whether a value follows, nobody can say which word is the image.
    else if (inline === undefined && !WITH_VALUE.test(option) && !/^--[a-z-]+$/.test(option)) return undefined;
    else lost.add(option);
  }
  const [image, ...args] = words;
  if (image === undefined || !IMAGE.test(image)) return undefined;
  const warnings =
    lost.size === 0 ? [] : [`${[...lost].join(", ")} of ${launch.command} run is left out; see sandbox and limits`];
  if (!PINNED_IMAGE.test(image)) warnings.push(`${image} has no tag or digest: what runs may change; pin it`);
  const kept = Object.fromEntries(Object.entries(env).filter(([name]) => !FOR_CLIENT.test(name)));
  return { type: "container", command: image, args, env: kept, ...(cwd?.startsWith("/") ? { cwd } : {}), warnings };
}

/** `--env=A=1` and `-eA=1` carry their value with them. */
function splitOption(word: string): [string, string?] {
  if (/^-e./.test(word)) return ["-e", word.slice(2)];
  const at = word.startsWith("--") ? word.indexOf("=") : -1;
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)];
}

/** `NAME` alone takes what the client's file gives the engine. */
function setVariable(env: Record<string, string>, text: string, given: Readonly<Record<string, string>>): void {
  const at = text.indexOf("=");
  const name = at < 0 ? text : text.slice(0, at);
  env[name] = at < 0 ? (Object.hasOwn(given, name) ? given[name]! : `\${${name}}`) : text.slice(at + 1);
}
