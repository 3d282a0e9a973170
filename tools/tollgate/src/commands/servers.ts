import type { Command } from "commander";
import { type Act, type Declare, said } from "../command.ts";
import { readEntry } from "../entry-file.ts";
import { declareDelete, declareList, ifVersion, placeOf, readShown } from "../resources.ts";
import { type Column, column, type Row } from "../table.ts";

const SERVERS = {
  path: "/api/v1/servers",
  noun: "server",
  columns: ["id", "group", "type", "status", "tools", "risk", "drift", "reason"].map((name) => column(name)),
  filters: [
    { name: "group", description: "of this group" },
    { name: "status", description: "pending, ready, unavailable or disabled" },
  ],
};
const FILE = "as an entry of mcp_servers in tollgate.yaml: YAML or JSON; - is the standard input";

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("The servers, with their status."), act, SERVERS);
  command
    .command("show")
    .description("One server.")
    .argument("<id>")
    .option("--spec", "its entry alone, to be changed and sent back with update")
    .action(
      act<{ spec?: true }>(async ({ args: [id], options, terminal, api }) => {
        const answer = await (await api()).get(placeOf(SERVERS, id!));
        if (options.spec !== true) return { answer, text: terminal.facts(answer) };
        const { stringify } = await import("yaml");
        const spec = (answer["spec"] ?? {}) as Row;
        return { answer: spec, text: stringify(spec).trimEnd() };
      }),
    );
  declareChanges(command, act);
  declareDelete(command.command("delete").description("Take it out of the catalogue."), act, SERVERS);
  declareSwitches(command, act);
  declareFigures(command, act);
};

const RUNNERS = [
  ...["runner", "state", "generation", "isolation", "limitsBy", "breaker", "restarts"].map((name) => column(name)),
  ...["processes", "busy", "max", "callsRunning", "callsWaiting"].map((name) => column(`pool.${name}`)),
];
const PROCESSES = ["runner", "pid", "tenant", "calls", "memoryBytes", "cpuMs"].map((name) => column(name));
const LATENCIES = ["runner", "durationMs.p50", "durationMs.p95", "durationMs.p99"].map((name) => column(name));

/** How it is, and what it has done: as a whole, and in each runner. */
function declareFigures(command: Command, act: Act): void {
  const one = (name: string, description: string, tablesOf: (runners: readonly Row[]) => Table[]) =>
    command
      .command(name)
      .description(description)
      .argument("<id>")
      .action(
        act(async ({ args: [id], terminal, api }) => {
          const answer = await (await api()).get(`${placeOf(SERVERS, id!)}/${name}`);
          const { runners, ...facts } = answer;
          const tables = tablesOf(runners as Row[])
            .filter(({ rows }) => rows.length > 0)
            .map(({ columns, rows }) => terminal.table(columns, rows));
          return { answer, text: [terminal.facts(facts), ...tables].join("\n\n") };
        }),
      );
  one("health", "How it is now: its processes, calls that wait, breakers.", (runners) => [
    { columns: RUNNERS, rows: runners },
    {
      columns: PROCESSES,
      rows: runners.flatMap(({ runner, processes }) => (processes as Row[]).map((each) => ({ runner, ...each }))),
    },
  ]);
  one("metrics", "Its figures over all runners.", (runners) => [{ columns: LATENCIES, rows: runners }]);
}

interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

function declareChanges(command: Command, act: Act): void {
  command
    .command("create")
    .description("Put a server behind the gate.")
    .requiredOption("-f, --file <file>", FILE)
    .action(
      act<{ file: string }>(async ({ options, here, api }) => {
        const body = await readEntry(options.file, here);
        const answer = await (await api()).send("POST", SERVERS.path, { body });
        return said(answer, `The server ${String(answer["id"] ?? body["id"])} is in the catalogue.`);
      }),
    );
  command
    .command("update")
    .description("Replace what is declared of a server.")
    .argument("[id]", "where the file does not say it")
    .requiredOption("-f, --file <file>", FILE)
    .option("--if-version <n>", "only where this is the present version")
    .action(
      act<{ file: string; ifVersion?: string }>(async ({ args, options, here, api, mistake }) => {
        const { entry, version } = await readShown(options.file, here);
        const id = args[0] ?? entry["id"];
        if (typeof id !== "string") return mistake("the file has no id: name the server");
        const sending = { body: { ...entry, id }, headers: ifVersion(options.ifVersion ?? version) };
        const answer = await (await api()).send("PUT", placeOf(SERVERS, id), sending);
        return said(answer, `The server ${id} is changed.`);
      }),
    );
}

/** A change of one key, over what was read just before: of somebody else's change meanwhile nothing is lost. */
function declareSwitches(command: Command, act: Act): void {
  for (const [name, enabled] of [
    ["enable", true],
    ["disable", false],
  ] as const)
    command
      .command(name)
      .description(enabled ? "Let it be used." : "Let nobody use it; it stays in the catalogue.")
      .argument("<id>")
      .action(
        act(async ({ args: [id], api }) => {
          const client = await api();
          const before = await client.get(placeOf(SERVERS, id!));
          const headers = ifVersion(before["version"]);
          const body = { ...(before["spec"] as Row), enabled };
          const answer = await client.send("PUT", placeOf(SERVERS, id!), { body, headers });
          return said(answer, `The server ${id} is ${name}d.`);
        }),
      );
  command
    .command("restart")
    .description("New processes take over, the old ones end when their calls have: no call fails.")
    .argument("<id>")
    .action(
      act(async ({ args: [id], api }) => {
        const answer = await (await api()).send("POST", `${placeOf(SERVERS, id!)}/restart`);
        return said(answer, `The server ${id} is being restarted.`);
      }),
    );
}
