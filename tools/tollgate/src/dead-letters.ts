import type { DeadCommand } from "./command-line.ts";
import { atGateway, readConnect } from "./connect.ts";
import { type DeadLetter, type DeadLetters, type GatewayClient, openGatewayClient } from "./gateway-client.ts";
import type { StateDir } from "./state-dir.ts";

const COLUMNS = ["id", "at", "service", "subject", "reason"] as const;

/** Looks after what could not be processed, in the installation of this state; gives what there is to say. */
export async function deadLetters(command: DeadCommand, state: StateDir): Promise<string> {
  const { gatewayUrl: url, adminToken, certFile } = readConnect(state);
  return atGateway(url, () => run(command, openGatewayClient({ url, adminToken, certFile })));
}

async function run({ action, id, json, ...page }: DeadCommand, gateway: GatewayClient): Promise<string> {
  const give = <T>(answer: T, text: (answer: T) => string) => `${json ? JSON.stringify(answer) : text(answer)}\n`;
  switch (action) {
    case "list":
      return give(await gateway.deadLetters(page), toTable);
    case "show":
      return give(await gateway.deadLetter(id), toText);
    case "put-back":
      return give(await gateway.putBack(id), ({ subject }) => `Dead letter ${id} is back on ${subject}.`);
    case "drop":
      await gateway.drop(id);
      return give({ id }, () => `Dead letter ${id} is gone.`);
  }
}

function toTable({ items, nextCursor }: DeadLetters): string {
  if (items.length === 0) return "There are no dead letters.";
  const rows = [[...COLUMNS], ...items.map((item) => COLUMNS.map((column) => onOneLine(String(item[column]))))];
  const widths = COLUMNS.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join("  ")
      .trimEnd(),
  );
  if (nextCursor !== null) lines.push(`There are more: --cursor ${nextCursor}`);
  return lines.join("\n");
}

function toText(letter: DeadLetter): string {
  const facts = COLUMNS.map((column) => `${column.padEnd(8)} ${onOneLine(String(letter[column]))}`);
  if (letter.truncated) facts.push("It cannot be put back: its data is not all that there was, or no text.");
  return [...facts, "", printable(letter.data)].join("\n");
}

/** It is not ours, and a terminal would do what it says. */
function printable(text: string): string {
  return text.replace(/(?![\n\t])\p{Cc}/gu, (each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

export function onOneLine(text: string): string {
  return printable(text.replace(/[\n\t]/g, " "));
}
