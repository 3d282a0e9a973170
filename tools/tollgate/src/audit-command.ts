import { parseArgs } from "node:util";

/** Proves a file, wherever it is from. */
export interface VerifyCommand {
  readonly kind: "audit";
  readonly action: "verify" | "proof";
  /** `-` is the standard input. */
  readonly file: string;
  /** A public key's PEM file, or its id: only what it vouches for is trusted. */
  readonly key: string | undefined;
  readonly json: boolean;
  readonly stateDir: undefined;
}

/** Fetches evidence from the installation. */
export interface EvidenceCommand {
  readonly kind: "audit";
  readonly action: "evidence";
  /** What the API takes. */
  readonly query: Readonly<Record<string, string>>;
  /** Absent: the standard output. */
  readonly output: string | undefined;
  readonly stateDir: string | undefined;
}

export type AuditCommand = VerifyCommand | EvidenceCommand;

export const AUDIT_USAGE = `       tollgate audit verify FILE  prove an export of evidence from itself alone, and name what is wrong with it
         --key KEY          trust only what this public key vouches for: its PEM file, or its id
         --json             for programs
       tollgate audit proof FILE   prove one event, as GET /api/v1/audit/events/{id} gives it; the same options
       tollgate audit evidence [--tenant NAME] [--kind KIND] [--from TIME] [--to TIME] [-o FILE]
                                   fetch events with all that proves them
`;

const TEXT = { type: "string" } as const;
const HELP = { type: "boolean", short: "h" } as const;
const CHECK_OPTIONS = { key: TEXT, json: { type: "boolean" }, help: HELP } as const;
const OPTIONS = {
  verify: CHECK_OPTIONS,
  proof: CHECK_OPTIONS,
  evidence: {
    tenant: TEXT,
    kind: TEXT,
    from: TEXT,
    to: TEXT,
    output: { type: "string", short: "o" },
    state: TEXT,
    help: HELP,
  },
} as const;

/** Reads the words after `audit`. */
export function parseAudit(
  words: readonly string[],
): AuditCommand | { readonly kind: "help" } | { readonly kind: "mistake"; readonly message: string } {
  const mistake = (message: string) => ({ kind: "mistake", message }) as const;
  const [name = "", ...rest] = words;
  if (["--help", "-h"].includes(name)) return { kind: "help" };
  if (!Object.hasOwn(OPTIONS, name)) return mistake(`audit needs one of ${Object.keys(OPTIONS).join(", ")}`);
  const action = name as keyof typeof OPTIONS;
  let values: Readonly<Record<string, unknown>>;
  let files: readonly string[];
  try {
    const options = OPTIONS[action];
    const allowPositionals = action !== "evidence";
    ({ values, positionals: files } = parseArgs({ args: rest, options, strict: true, allowPositionals }));
  } catch (error) {
    return mistake((error as Error).message.split(". To specify")[0]!);
  }
  if (values["help"] === true) return { kind: "help" };
  const text = (option: string) => values[option] as string | undefined;
  if (action === "evidence") {
    const query = Object.fromEntries(
      ["tenant", "kind", "from", "to"].flatMap((option) =>
        text(option) === undefined ? [] : [[option, text(option)!]],
      ),
    );
    return { kind: "audit", action, query, output: text("output"), stateDir: text("state") };
  }
  const [file, ...more] = files;
  if (file === undefined || more.length > 0) return mistake(`audit ${action} needs one file`);
  const json = values["json"] === true;
  return { kind: "audit", action, file, key: text("key"), json, stateDir: undefined };
}
