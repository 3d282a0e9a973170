import { existsSync } from "node:fs";
import type { Asked, Declare } from "../command.ts";
import type { ConfigurationFile } from "../configuration-file.ts";
import { type Finding, problem } from "../doctor/finding.ts";
import { checkNode, checkPermissions, checkPort, checkRuntimes } from "../doctor/machine.ts";

const MARKS = { ok: "✓", warning: "!", problem: "✗" } as const;

interface Options {
  readonly file?: string;
}

export const declare: Declare = (command, act) => {
  command
    .description("Finds what is misconfigured, and says what to do. Exits with 1 where something does not work.")
    .option("-f, --file <file>", "tollgate.yaml (default: that of this installation)")
    .action(
      act<Options>(async (asked) => {
        const { terminal } = asked;
        const findings = await examine(asked);
        const lines = findings.map(({ level, what, advice }) => {
          const line = `${terminal.toned(MARKS[level])} ${what.replaceAll("\n", " ")}`;
          return advice === undefined ? line : `${line}\n    ${advice}`;
        });
        const count = (level: Finding["level"]) => findings.filter((each) => each.level === level).length;
        const problems = count("problem");
        const sums = `${count("ok")} fine, ${count("warning")} unwise, ${problems} broken`;
        return { answer: { findings }, text: [...lines, sums].join("\n"), code: problems === 0 ? 0 : 1 };
      }),
    );
};

async function examine(asked: Asked<Options>): Promise<Finding[]> {
  const { state, env } = asked;
  const machine = [checkNode(), ...checkPermissions(state, env["TOLLGATE_SECRETS_DIR"])];
  const { findings: ofFile, types, place } = await examineFile(asked);
  const reached = await examineGateway(asked);
  // Only where a start would need it.
  const port = reached.isAnswering || place === undefined ? [] : [await checkPort(place.host, place.port)];
  return [...machine, ...ofFile, ...(await checkRuntimes(types)), ...port, ...reached.findings];
}

interface FileExamined {
  readonly findings: readonly Finding[];
  readonly types: ReadonlySet<string>;
  readonly place?: { readonly host: string; readonly port: number };
}

/** Of another gateway, the file is not here, unless it is named. */
async function examineFile(asked: Asked<Options>): Promise<FileExamined> {
  const { options, env, state } = asked;
  const isElsewhere = (options.url ?? env["TOLLGATE_URL"] ?? "") !== "";
  if (isElsewhere && options.file === undefined) return { findings: [], types: new Set() };
  const { readConfiguration } = await import("../configuration-file.ts");
  const { checkFile } = await import("../doctor/configuration.ts");
  let file: ConfigurationFile;
  try {
    file = readConfiguration(options.file, asked);
  } catch (error) {
    return { findings: [problem((error as Error).message, "name it with -f FILE")], types: new Set() };
  }
  const { findings, desired } = await checkFile(file);
  const types = new Set(desired?.servers.filter(({ enabled }) => enabled).map(({ type }) => type));
  if (desired === undefined || existsSync(state.connectFile)) return { findings, types };
  return { findings, types, place: desired.controlPlane };
}

async function examineGateway(asked: Asked<Options>): Promise<{ findings: Finding[]; isAnswering: boolean }> {
  const { checkGateway, checkHealth } = await import("../doctor/gateway.ts");
  const { checkCatalogue } = await import("../doctor/catalogue.ts");
  try {
    const api = await asked.api();
    const { findings, health } = await checkGateway(await asked.target(), api);
    if (health === undefined) return { findings, isAnswering: false };
    return { findings: [...findings, ...checkHealth(health), ...(await checkCatalogue(api))], isAnswering: true };
  } catch (error) {
    const { explain } = await import("../next-step.ts");
    const [what, ...advice] = (await explain(error, undefined)).split("\n");
    return { findings: [problem(what!, advice.join(" "))], isAnswering: false };
  }
}
