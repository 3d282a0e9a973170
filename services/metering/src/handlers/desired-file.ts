import { isDeepStrictEqual } from "node:util";
import { type DesiredRateCard, type DesiredState, followDesiredState, loadDesiredState } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { type Life, type Log, type Pool, withTransaction } from "@tollgate/service";
import type { PoolClient } from "pg";
import { toMessage, versionsFor } from "../domain/declared-cards.ts";
import { type NewRateCard, parseNewRateCard } from "../domain/new-rate-card.ts";
import { readFileCards, writeFileCards } from "../store/file-cards.ts";
import { lockRateCards, readRateCards } from "../store/rate-cards.ts";
import { addVersion } from "./rate-cards.ts";

/** Of these sections nothing is a secret: none of the user's variables is needed. */
export const SECTIONS = ["metering", "rate_cards"] as const;
const FILE = "file";

/** What tollgate.yaml says of metering. */
export interface MeteringFile {
  retentionDays(): number;
}

/**
 * Follows the file. A card of which it says something new becomes a version, valid from now on or from a time to come;
 * one that it does not have any more stays: what was priced by it has to be priced by it again.
 * @param options.configFile empty: there is none
 * @throws {AppError} invalid_argument if the file cannot be read or has mistakes when the service starts
 */
export async function followFile(options: {
  pool: Pool;
  configFile: string;
  life: Life;
  log: Log;
}): Promise<MeteringFile> {
  const { pool, configFile: file, life, log } = options;
  const reading = { file, env: {}, sections: SECTIONS };
  let { retentionDays } = loadDesiredState("{}", reading).metering;
  const apply = async ({ metering, rateCards }: DesiredState): Promise<void> => {
    ({ retentionDays } = metering);
    // What goes on being billed as it was must not keep the others' calls from it.
    await applyCards(pool, rateCards).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code !== "failed_precondition") throw error;
      log.error({ problem: error.message }, "the file's rate cards are not taken; those that there are stay");
    });
  };
  const onProblem = (error: unknown): void => {
    const problem = error instanceof AppError ? error.message : String(error);
    log.error({ problem }, "configuration file not taken; the last good one stays");
  };
  if (file !== "") await followDesiredState({ ...reading, signal: life.signal, apply, onProblem });
  return { retentionDays: () => retentionDays };
}

async function applyCards(pool: Pool, cards: readonly DesiredRateCard[]): Promise<void> {
  await withTransaction(pool, async (client) => {
    await lockRateCards(client);
    const said = await readFileCards(client);
    const isAsBefore = (card: DesiredRateCard) =>
      isDeepStrictEqual(said.get(card.id), JSON.parse(JSON.stringify(card)));
    const changed = cards.filter((card) => !isAsBefore(card));
    if (changed.length === 0 && said.size === cards.length) return;
    for (const card of changed) await declareCard(client, card, FILE);
    await writeFileCards(client, cards);
  });
}

/** Makes the versions that it takes for the card to say this; says whether it took any. Under the lock of cards. */
export async function declareCard(client: PoolClient, card: DesiredRateCard, by: string): Promise<boolean> {
  const given = parseNewRateCard(toMessage(card, by));
  const versions = (await readRateCards(client)).filter(({ id }) => id === given.id);
  const added = versionsFor(versions, given, Date.now());
  for (const { content, validFromMs } of added)
    await addVersion(client, { ...cardOf(content), validFromMs }, { by, rerate: false });
  return added.length > 0;
}

/** Without what is of a version. */
function cardOf(content: NewRateCard): NewRateCard {
  const { id, currency, tenant, group, server, tool, tiers } = content;
  const { perCall, perSecond, perCpuSecond, perMegabyte, perColdStart } = content;
  const prices = { perCall, perSecond, perCpuSecond, perMegabyte, perColdStart, tiers };
  return { id, currency, tenant, group, server, tool, ...prices, validFromMs: undefined };
}
