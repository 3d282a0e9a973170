import type { meteringV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Pool } from "@tollgate/service";
import { formatCents, monthRange, roundToCents } from "../domain/chargeback.ts";
import { parseNanoSum } from "../domain/decimal.ts";
import { currencyOf } from "../domain/rate-card.ts";
import { parseRating, parseTenant, planUsage } from "../domain/usage-query.ts";
import { readCurrencies } from "../store/rate-cards.ts";
import { checkRating } from "../store/ratings.ts";
import { sumUsage } from "../store/usage.ts";

const LINES_MAX = 20_000;
/** A call of a month's last moment may take until then. */
const LAST_CALLS_MS = 86_400_000;

/** What each team pays for a month: lines that sum to the total to the cent. @throws {AppError} */
export async function chargeBack(
  pool: Pool,
  request: meteringV1.GetChargebackRequest,
  readAsOf: () => Promise<number>,
): Promise<meteringV1.GetChargebackResponse> {
  const month = monthRange(request.month);
  const rating = parseRating(request.rating);
  const scope = { ...parseTenant(request.tenant), ...month, rating };
  await checkRating(pool, rating);
  const asOfMs = await readAsOf();
  const { groups, more } = await sumUsage(
    pool,
    planUsage({ ...scope, groupBy: ["tenant", "team"], filter: [], limit: LINES_MAX }),
  );
  if (more) throw new AppError("failed_precondition", `more than ${LINES_MAX} teams; ask for one tenant`);
  // Not by what they cost: the same teams are in the same lines each month, and equal remainders are given out the same.
  const inOrder = groups.toSorted((a, b) => compareKeys(a.keys, b.keys));
  const { amounts, total } = roundToCents(inOrder.map(({ cost }) => parseNanoSum(cost)));
  return {
    lines: inOrder.map(({ keys, calls, cost }, at) => ({
      tenant: keys[0]!,
      team: keys[1]!,
      calls: BigInt(calls),
      amount: formatCents(amounts[at]!),
      cost,
    })),
    total: formatCents(total),
    currency: currencyOf(await readCurrencies(pool)),
    final: asOfMs >= month.toMs + LAST_CALLS_MS,
  };
}

function compareKeys(a: readonly string[], b: readonly string[]): number {
  for (const [at, key] of a.entries()) if (key !== b[at]) return key < b[at]! ? -1 : 1;
  return 0;
}
