import { type BudgetEvent, newCallId } from "@tollgate/contracts";
import { enqueueEvents, type Log, type Pool, withTransaction } from "@tollgate/service";
import { type BudgetFigures, crossedThresholds, type Crossing, crossingOf } from "../domain/budgets.ts";
import { insertCrossing, insertWebhook, sweepCrossings } from "../store/budgets.ts";

/** In one transaction. */
const CROSSINGS_MAX = 500;
/** The database knows them all: this only keeps it from being asked again and again. */
const TOLD_MAX = 200_000;

/** Tells of thresholds that were passed: each once, by an event and, where the budget has one, a webhook. */
export interface BudgetAlerts {
  /** @throws when the database is away: to be tried again with newer figures */
  look(this: void, figures: BudgetFigures): Promise<void>;
}

export function createBudgetAlerts({ pool, log }: { readonly pool: Pool; readonly log: Log }): BudgetAlerts {
  const told = new Set<string>();

  function newOnes(figures: BudgetFigures): Crossing[] {
    const all = [...figures.byKey].flatMap(([limitKey, spent]) =>
      crossedThresholds(figures.limit, spent).map((threshold) => crossingOf(figures, { limitKey, spent, threshold })),
    );
    return all.filter((crossing) => !told.has(nameOf(crossing)));
  }

  return {
    async look(figures) {
      const crossings = newOnes(figures);
      for (let from = 0; from < crossings.length; from += CROSSINGS_MAX) {
        const some = crossings.slice(from, from + CROSSINGS_MAX);
        const hasWebhook = figures.limit.budget?.webhook !== undefined;
        const count = await withTransaction(pool, async (client) => {
          await sweepCrossings(client);
          const events: BudgetEvent[] = [];
          for (const crossing of some) if (await insertCrossing(client, crossing)) events.push(eventOf(crossing));
          await enqueueEvents(client, "policy", events);
          for (const event of hasWebhook ? events : [])
            await insertWebhook(client, { id: event.id, budget: event.budget, body: JSON.stringify(event) });
          return events.length;
        });
        if (told.size > TOLD_MAX) told.clear();
        for (const crossing of some) told.add(nameOf(crossing));
        if (count > 0)
          log.info({ budget: figures.limit.name, thresholds: count }, "thresholds of a budget were passed");
      }
    },
  };
}

function nameOf({ budget, amount, limitKey, periodFrom, threshold }: Crossing): string {
  return JSON.stringify([budget, amount, limitKey, periodFrom, threshold]);
}

function eventOf({ limitKey: _limitKey, ...crossing }: Crossing): BudgetEvent {
  const endedAt = Date.now();
  return { v: 1, kind: "budget", id: newCallId(endedAt), endedAt, ...crossing };
}
