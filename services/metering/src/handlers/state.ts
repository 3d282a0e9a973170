import { stateV1 } from "@tollgate/contracts";
import { type DesiredRateCard, loadDesiredState } from "@tollgate/desired-state";
import { type Log, type Pool, unary, withTransaction } from "@tollgate/service";
import { toDeclared, toMessage, versionsFor } from "../domain/declared-cards.ts";
import { parseNewRateCard } from "../domain/new-rate-card.ts";
import { readFileCards } from "../store/file-cards.ts";
import { lockRateCards, readRateCards, type StoredRateCard } from "../store/rate-cards.ts";
import { declareCard, SECTIONS } from "./desired-file.ts";

const KIND = "rate_card";

/** StateService of proto/tollgate/state/v1, for `rate_cards`. */
export function createStateService({ pool, log }: { pool: Pool; log: Log }): {
  definition: stateV1.StateServiceService;
  implementation: stateV1.StateServiceServer;
} {
  return {
    definition: stateV1.StateServiceService,
    implementation: {
      reconcile: unary(log, (request) => reconcile(pool, request)),
      getDrift: unary(log, () => readDrift(pool)),
    },
  };
}

/** @throws {AppError} invalid_argument with the mistakes; failed_precondition where a card is for other calls */
async function reconcile(pool: Pool, request: stateV1.ReconcileRequest): Promise<stateV1.ReconcileResponse> {
  const { document, name: file, dryRun, prune, actor } = request;
  const { rateCards } = loadDesiredState(document, { file, env: {}, sections: SECTIONS });
  return withTransaction(pool, async (client) => {
    await lockRateCards(client);
    const before = versionsOf(await readRateCards(client));
    const changes = rateCards.flatMap((card) => changeOf(before.get(card.id), card, actor));
    // What could not be done is told by a plan as well.
    await client.query("SAVEPOINT plan");
    for (const card of rateCards) await declareCard(client, card, actor);
    if (dryRun) await client.query("ROLLBACK TO SAVEPOINT plan");
    const left = [...before.keys()].filter((id) => !rateCards.some((card) => card.id === id));
    const isPruned = prune && rateCards.length > 0 && left.length > 0;
    const warnings = isPruned ? [`rate cards are never removed, so these stay: ${left.join(", ")}`] : [];
    return { changes, warnings, revision: 0n };
  });
}

function changeOf(
  versions: readonly StoredRateCard[] | undefined,
  card: DesiredRateCard,
  by: string,
): stateV1.Change[] {
  const place = { kind: KIND, id: card.id, after: JSON.stringify(card) };
  const from = card.valid_from === undefined ? "from now on" : `from ${card.valid_from} on, or from now on`;
  if (versions === undefined) return [{ ...place, change: "create", before: "", note: `prices calls ${from}` }];
  if (isSaid(versions, card, by)) return [];
  const note = `prices calls ${from}; what was billed stays`;
  return [{ ...place, change: "update", before: JSON.stringify(toDeclared(versions.at(-1)!)), note }];
}

function isSaid(versions: readonly StoredRateCard[], card: DesiredRateCard, by: string): boolean {
  return versionsFor(versions, parseNewRateCard(toMessage(card, by)), Date.now()).length === 0;
}

/** Cards that do not say, now and in the time to come, what the file said last. */
async function readDrift(pool: Pool): Promise<stateV1.GetDriftResponse> {
  const said = await readFileCards(pool);
  const items = [...versionsOf(await readRateCards(pool)).values()].flatMap((versions): stateV1.Drift[] => {
    const newest = versions.at(-1)!;
    const { id, createdBy, createdAtMs } = newest;
    // The card that every installation begins with is nobody's.
    if (createdBy === "") return [];
    const file = said.get(id) as DesiredRateCard | undefined;
    if (file !== undefined && isSaid(versions, file, createdBy)) return [];
    const drift = file === undefined ? "added" : "changed";
    const texts = {
      fileEntry: file === undefined ? "" : JSON.stringify(file),
      entry: JSON.stringify(toDeclared(newest)),
    };
    return [{ kind: KIND, id, drift, ...texts, updatedBy: createdBy, updatedAtMs: BigInt(createdAtMs), problem: "" }];
  });
  return { items };
}

/** Of each card, in the order of their making. */
function versionsOf(cards: readonly StoredRateCard[]): Map<string, StoredRateCard[]> {
  return Map.groupBy(cards, ({ id }) => id);
}
