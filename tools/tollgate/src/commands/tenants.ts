import type { Declare } from "../command.ts";
import { declareList, declareShow } from "../resources.ts";
import { column } from "../table.ts";

const TENANTS = {
  path: "/api/v1/tenants",
  noun: "tenant",
  columns: ["id", "plan", "lane", "weight", "source", "drift"].map((name) => column(name)),
};

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("The tenants that have entries of their own."), act, TENANTS);
  declareShow(command.command("show").description("One of them."), act, TENANTS);
};
