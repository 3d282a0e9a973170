import type { Pool } from "@tollgate/service";
import type { PoolClient } from "pg";

/** What tollgate.yaml said last, by the ids of the cards. */
export async function readFileCards(client: Pool | PoolClient): Promise<ReadonlyMap<string, unknown>> {
  const { rows } = await client.query<{ id: string; card: unknown }>("SELECT id, card FROM metering.file_cards");
  return new Map(rows.map(({ id, card }) => [id, card]));
}

/** Makes these all that it said. */
export async function writeFileCards(client: PoolClient, cards: readonly { readonly id: string }[]): Promise<void> {
  await client.query("DELETE FROM metering.file_cards WHERE id <> ALL ($1)", [cards.map(({ id }) => id)]);
  await client.query(
    `INSERT INTO metering.file_cards (id, card)
     SELECT card->>'id', card FROM jsonb_array_elements($1::jsonb) AS card
     ON CONFLICT (id) DO UPDATE SET card = excluded.card`,
    [JSON.stringify(cards)],
  );
}
