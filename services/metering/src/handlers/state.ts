import { stateV1 } from "@tollgate/contracts";
import { type DesiredRateCard, loadDesiredState } from "@tollgate/desired-state";
import { type Log, type Pool, unary, withTransaction } from "@tollgate/service";
import { saysSame, toDeclared } from "../domain/declared-cards.ts";
import { readFileCards } from "../store/file-cards.ts";
import { lockRateCards, readRateCards, type StoredRateCard } from "../store/rate-cards.ts";
import { declareCard, newCardOf, SECTIONS } from "./desired-file.ts";

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
    const before = newestOf(await readRateCards(client));
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

function changeOf(newest: StoredRateCard | undefined, card: DesiredRateCard, by: string): stateV1.Change[] {
  const after = JSON.stringify(card);
  const place = { kind: KIND, id: card.id, after };
  if (newest === undefined) return [{ ...place, change: "create", before: "", note: "prices calls from now on" }];
  if (saysSame(newest, newCardOf(card, by))) return [];
  const note = `version ${newest.version + 1}: prices calls from now on; what was billed stays`;
  return [{ ...place, change: "update", before: JSON.stringify(toDeclared(newest)), note }];
}

/** Cards of which the newest version is not what the file said last. */
async function readDrift(pool: Pool): Promise<stateV1.GetDriftResponse> {
  const said = await readFileCards(pool);
  const items = [...newestOf(await readRateCards(pool)).values()].flatMap((newest): stateV1.Drift[] => {
    const { id, createdBy, createdAtMs } = newest;
    // The card that every installation begins with is nobody's.
    if (createdBy === "") return [];
    const file = said.get(id) as DesiredRateCard | undefined;
    if (file !== undefined && saysSame(newest, newCardOf(file, createdBy))) return [];
    const drift = file === undefined ? "added" : "changed";
    const texts = {
      fileEntry: file === undefined ? "" : JSON.stringify(file),
      entry: JSON.stringify(toDeclared(newest)),
    };
    return [{ kind: KIND, id, drift, ...texts, updatedBy: createdBy, updatedAtMs: BigInt(createdAtMs) }];
  });
  return { items };
}

function newestOf(cards: readonly StoredRateCard[]): Map<string, StoredRateCard> {
  return new Map(cards.map((card) => [card.id, card]));
}
