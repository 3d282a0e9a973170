import type { Revision } from "@tollgate/testkit";
import { isModern } from "./cell.ts";

export interface Finding {
  readonly client: Revision;
  readonly server: Revision;
  readonly feature: string;
  /** Why the protocol cannot have it here. */
  readonly impossible: string | undefined;
  readonly failure: string | undefined;
}

export interface TransportFinding {
  readonly from: string;
  readonly to: string;
  readonly failure: string | undefined;
}

const HEAD = `# Which client works with which server

Written by \`test/compatibility.test.ts\`, which fails when this is not what it finds; \`TOLLGATE_WRITE_DOCS=1\` has it write
the file anew. Each cell is a client of one revision that uses a server of another through the gateway, with exact payloads
asserted: what the client gets is what the server itself answers.

- **yes**: both speak the same era of MCP, and messages pass as they are.
- **translated**: one of them speaks 2026-07-28 and the other an earlier revision; the gateway says to each what it knows.
- **(a)**, **(b)** …: the protocol cannot have it there, for the reason below the table. The client is told so, or gets what
  can be had.

A server on stdio does not say for which call a log is: it reaches its client while no other client's call is under way on
the same connection. Clients that servers may ask something have a connection of their own, and so all of their logs.
`;

/** The document: one table for each client revision, and one of transports. */
export function render(
  findings: readonly Finding[],
  transports: readonly TransportFinding[],
  revisions: readonly Revision[],
): string {
  const reasons = [...new Set(findings.flatMap(({ impossible }) => impossible ?? []))];
  const features = [...new Set(findings.map(({ feature }) => feature))];
  const sections = revisions.map((client) => {
    const rows = features.map((feature) => [
      feature,
      ...revisions.map((server) => {
        const of = findings.find(
          (each) => each.client === client && each.server === server && each.feature === feature,
        );
        return cellText(of, reasons);
      }),
    ]);
    return `## Clients of ${client}\n\n${table([["server", ...revisions], ...rows])}`;
  });
  const notes = reasons.map((reason, i) => `- **(${letter(i)})** ${reason}`);
  return `${[HEAD.trimEnd(), ...sections, `## Why not\n\n${notes.join("\n")}`, renderTransports(transports)].join("\n\n")}\n`;
}

function cellText(finding: Finding | undefined, reasons: readonly string[]): string {
  if (!finding) return "?";
  if (finding.failure !== undefined) return "**fails**";
  if (finding.impossible !== undefined) return `(${letter(reasons.indexOf(finding.impossible))})`;
  return isModern(finding.client) === isModern(finding.server) ? "yes" : "translated";
}

function renderTransports(findings: readonly TransportFinding[]): string {
  const froms = [...new Set(findings.map(({ from }) => from))];
  const tos = [...new Set(findings.map(({ to }) => to))];
  const rows = froms.map((from) => [
    from,
    ...tos.map((to) => {
      const failed = findings.find((each) => each.from === from && each.to === to)?.failure !== undefined;
      return failed ? "**fails**" : "yes";
    }),
  ]);
  const text = "Each with a call, its progress, and a question that the server asks during another call.";
  return `## Transports\n\n${text}\n\n${table([["client by ↓, server by →", ...tos], ...rows])}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_cell, i) => Math.max(3, ...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`);
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}

function letter(index: number): string {
  return String.fromCodePoint("a".codePointAt(0)! + index);
}
