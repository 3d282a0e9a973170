import { type Declare, said } from "../command.ts";
import { readText } from "../entry-file.ts";
import { declareDelete, declareList, placeOf } from "../resources.ts";
import { column, textOf } from "../table.ts";

const SECRETS = {
  path: "/api/v1/secrets",
  noun: "secret",
  columns: ["name", "store", "version", "servers", "usedBy", "problem", "description", "updatedAt", "updatedBy"].map(
    (name) => column(name),
  ),
  filters: [
    { name: "store", description: "that this store gives", choices: ["tollgate", "files", "vault"] },
    { name: "server", description: "that this server names" },
  ],
};

interface SetOptions {
  readonly fromFile?: string;
  readonly description?: string;
  readonly servers?: string;
}

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("The secrets, without their values."), act, SECRETS);
  command
    .command("set")
    .description("Keep a value; it comes from the standard input, never from the command line.")
    .argument("<name>", "as in ${secret:NAME}")
    .option("--from-file <file>", "the value is what this file holds")
    .option("--description <text>", "what it is for (default: as it was)")
    .option("--servers <ids>", 'which servers may have it, separated by commas; "" is any (default: as it was)')
    .action(
      act<SetOptions>(async ({ args: [name], options, here, api, terminal }) => {
        const { fromFile, description, servers } = options;
        const typed =
          fromFile === undefined ? await terminal.ask(`Value of ${name} (not shown): `, { hidden: true }) : undefined;
        // Editors and `echo` end a text with a line break that is no part of the secret.
        const value = typed ?? readText(fromFile ?? "-", here).replace(/\r?\n$/, "");
        const body = { value, description, servers: servers === "" ? [] : servers?.split(",") };
        const answer = await (await api()).send("PUT", placeOf(SECRETS, name!), { body });
        return said(answer, `The secret ${name} is kept.`);
      }),
    );
  declareDelete(command.command("delete").description("Forget one."), act, SECRETS);
  command
    .command("rotate-keys")
    .description("Wrap everything that is encrypted with the newest master key: docs/secrets.md.")
    .action(
      act(async ({ api }) => {
        const answer = await (await api()).send("POST", `${SECRETS.path}/rotate-keys`);
        return said(
          answer,
          `${textOf(answer["rewrapped"])} texts are wrapped with the key ${textOf(answer["keyId"])}.`,
        );
      }),
    );
};
