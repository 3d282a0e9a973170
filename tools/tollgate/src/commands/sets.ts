import type { Declare } from "../command.ts";
import { declareDelete, declareList, declarePut, declareShow } from "../resources.ts";
import { column } from "../table.ts";

const SETS = {
  path: "/api/v1/tool-sets",
  noun: "tool set",
  columns: ["id", "name", "tools", "repositories", "drift"].map((name) => column(name)),
};

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("The tool sets."), act, SETS);
  declareShow(command.command("show").description("One of them."), act, SETS);
  declarePut(command.command("put").description("Create or replace one."), act, SETS);
  declareDelete(command.command("delete").description("Remove one."), act, SETS);
};
