import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { isOfTenant, tenantShown } from "./api-access.ts";
import * as schema from "./api-metering-schemas.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { pageOf } from "./api-pages.ts";
import { type Cell, CSV, csvLines } from "./csv.ts";

const tags = ["metering"];
/** The short one is what bills are made of elsewhere: both stay. */
const USAGE = [
  ["/api/v1/metering/usage", "getMeteringUsage"],
  ["/metering/usage", "getUsage"],
] as const;
/** Sums may take as long as metering gives them. */
const SUM_TIMEOUT_MS = 12_000;

/** What calls used and cost, and by which prices: docs/metering.md. */
export function registerMetering(app: FastifyInstance, options: ApiOptions): void {
  registerUsage(app, options);
  registerChargeback(app, options);
  registerRateCards(app, options);
  registerRatings(app, options);
}

function registerUsage(app: FastifyInstance, { clients: { metering }, metadata, access }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const unary = { metadata, timeoutMs: SUM_TIMEOUT_MS, service: "metering" };
  for (const [url, operationId] of USAGE) {
    api.get(
      url,
      {
        config: { action: "admin/usage/read" },
        schema: {
          tags,
          operationId,
          summary: "Usage and cost",
          description: "Of a time, by step and group, the dearest first; as JSON, or as a table with text/csv.",
          querystring: schema.usageQuery,
          response: { 200: schema.usage },
        },
      },
      async (request, reply) => {
        const { query } = request;
        const isCsv = wantsCsv(request, query.format);
        const asked = schema.toUsageRequest(query, tenantShown(request, query.tenant));
        const limit = isCsv && query.limit === undefined ? schema.ROWS_MAX : asked.limit;
        const answer = schema.toUsage(await callUnary(metering.getUsage.bind(metering), { ...asked, limit }, unary));
        if (isCsv && query.limit === undefined && answer.more)
          throw new AppError("failed_precondition", `more than ${limit} rows; ask for less, or say a limit`);
        await access.read(request, "usage", answer.items.length);
        return isCsv ? sendCsv(reply, "usage", schema.usageTable(answer, asked)) : answer;
      },
    );
  }
}

function registerChargeback(app: FastifyInstance, { clients: { metering }, metadata, access }: ApiOptions): void {
  const unary = { metadata, timeoutMs: SUM_TIMEOUT_MS, service: "metering" };
  app.withTypeProvider<ZodTypeProvider>().get(
    "/api/v1/metering/chargeback",
    {
      config: { action: "admin/usage/read" },
      schema: {
        tags,
        summary: "What each team pays for a month",
        description: "Lines sum to the total to the cent; as JSON, or as a table with text/csv.",
        querystring: schema.chargebackQuery,
        response: { 200: schema.chargeback },
      },
    },
    async (request, reply) => {
      const { month, rating, format } = request.query;
      const asked = { month, rating, tenant: tenantShown(request, request.query.tenant) };
      const found = await callUnary(metering.getChargeback.bind(metering), asked, unary);
      const answer = schema.toChargeback(month, found);
      await access.read(request, "usage", answer.lines.length);
      if (!wantsCsv(request, format)) return answer;
      return sendCsv(reply, `chargeback-${month}`, schema.chargebackTable(answer));
    },
  );
}

function registerRateCards(app: FastifyInstance, { clients: { metering }, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "metering" };
  api.get(
    "/api/v1/metering/rate-cards",
    {
      config: { action: "admin/metering/read" },
      schema: {
        tags,
        summary: "Rate cards, with all their versions",
        querystring: schema.rateCardQuery,
        response: { 200: schema.rateCards },
      },
    },
    async (request) => {
      const { principal } = request.caller!;
      const { cards } = await callUnary(metering.listRateCards.bind(metering), {}, unary);
      // Those of all tenants are everybody's prices; those of another one are not.
      const shown = cards.filter(({ tenant }) => tenant === "" || isOfTenant(principal, tenant));
      const found = shown.map(schema.toRateCard);
      return pageOf(found, { ...request.query, keyOf: ({ id, version }) => `${id}@${version}` });
    },
  );
  api.post(
    "/api/v1/metering/rate-cards",
    {
      config: { action: "admin/metering/write" },
      schema: {
        tags,
        summary: "A new version of a rate card",
        description:
          "Changes nothing that was billed: it prices calls from its time on. Of several cards for a call the one that names most of tenant, tool, server and group wins.",
        body: schema.rateCardBody,
        response: { 201: schema.newRateCard },
      },
    },
    async (request, reply) => {
      const { body } = request;
      requireTenant(request, body.tenant);
      const asked = { card: schema.toNewCard(body, actorOf(request)), rerate: body.rerate };
      const { card, rating } = await callUnary(metering.putRateCard.bind(metering), asked, unary);
      const started = rating === undefined ? null : schema.toRating(rating);
      return reply.code(201).send({ ...schema.toRateCard(card!), rating: started });
    },
  );
}

function registerRatings(app: FastifyInstance, { clients: { metering }, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "metering" };
  api.get(
    "/api/v1/metering/ratings",
    {
      config: { action: "admin/metering/read" },
      schema: {
        tags,
        summary: "Ratings, and how far they are",
        querystring: schema.ratingQuery,
        response: { 200: schema.ratings },
      },
    },
    async (request) => {
      const asked = { tenant: tenantShown(request, request.query.tenant) };
      const { ratings } = await callUnary(metering.listRatings.bind(metering), asked, unary);
      return pageOf(ratings.map(schema.toRating), { ...request.query, keyOf: ({ version }) => String(version) });
    },
  );
  api.post(
    "/api/v1/metering/ratings",
    {
      config: { action: "admin/metering/write" },
      schema: {
        tags,
        summary: "Price the calls of a time anew",
        description:
          "By the cards that there are, as a version beside the first prices, which stay. It goes on by itself: look at its status.",
        body: schema.ratingBody,
        response: { 202: schema.rating },
      },
    },
    async (request, reply) => {
      const { tenant, from = 0, to = 0, reason } = request.body;
      requireTenant(request, tenant);
      const asked = { tenant, fromMs: BigInt(from), toMs: BigInt(to), reason, by: actorOf(request) };
      const { rating } = await callUnary(metering.startRating.bind(metering), asked, unary);
      return reply.code(202).send(schema.toRating(rating!));
    },
  );
}

/** What is for every tenant is changed by those who administer all of them. @throws {AppError} permission_denied */
function requireTenant(request: FastifyRequest, tenant: string): void {
  if (tenantShown(request, tenant) === tenant) return;
  const { id } = request.caller!.principal;
  throw new AppError("permission_denied", `${id} may change the prices of its own tenant only: say which tenant`);
}

function wantsCsv({ headers: { accept = "" } }: FastifyRequest, format: "json" | "csv" | undefined): boolean {
  return format === undefined ? accept.toLowerCase().startsWith(CSV) : format === "csv";
}

function sendCsv(reply: FastifyReply, name: string, table: { columns: string[]; rows: Cell[][] }): never {
  const text = csvLines(table.columns, table.rows, { header: true });
  // The schema of the answer is of JSON.
  return reply
    .header("content-disposition", `attachment; filename="${name}.csv"`)
    .header("cache-control", "no-store")
    .type(`${CSV}; charset=utf-8`)
    .serializer(String)
    .send(text) as never;
}
