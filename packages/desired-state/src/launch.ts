import type { ServerType } from "./state.ts";

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  /** The package is given without an exact version. */
  readonly unpinned: boolean;
}

const NPM_PACKAGE = /^(?:@[a-z0-9][\w.~-]*\/)?[a-z0-9][\w.~-]*(?:@[\w.+~^-]+)?$/i;
const EXACT_VERSION = /.@v?\d+\.\d+\.\d+(?:[-+][\w.+-]+)?$/;
/** What stands between the familiar command and what it starts. */
const FILLERS: Readonly<Record<string, readonly string[]>> = { npx: ["-y", "--yes"], uv: ["run"] };
/** With a digest, or a tag that is not the moving one. */
const PINNED_IMAGE = /@sha256:[0-9a-f]{64}$|:(?!latest$)[\w.-]+$/;

/**
 * One form for the two in which people write it: `command: PACKAGE` and the familiar `command: npx, args: [-y, PACKAGE]`
 * (node likewise). A string says what is wrong with it, and in which key.
 */
export function normaliseLaunch(
  type: ServerType,
  command: string,
  args: readonly string[],
): Launch | { readonly key: "command" | "args"; readonly mistake: string } {
  if (type === "command") return { command, args, unpinned: false };
  if (type === "container") return { command, args, unpinned: !PINNED_IMAGE.test(command) };
  const familiar = command === type || (type === "python" && command === "python3");
  const words = familiar ? args.slice(FILLERS[type]?.includes(args[0] ?? "") ? 1 : 0) : [command, ...args];
  const [first, ...rest] = words;
  const key = familiar ? "args" : "command";
  if (first === undefined) return { key, mistake: `names no ${type === "npx" ? "package" : "script"}` };
  if (type !== "npx") return { command: first, args: rest, unpinned: false };
  if (!NPM_PACKAGE.test(first))
    return {
      key,
      mistake: "has to name an npm package, for example @scope/server@1.2.3, without options of npx before it",
    };
  return { command: first, args: rest, unpinned: !EXACT_VERSION.test(first) };
}
