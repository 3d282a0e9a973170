import type { ClientBase } from "pg";
import type { SettingName, Settings } from "../domain/settings.ts";

/** Those that were ever written. */
export async function readSettings(client: ClientBase): Promise<Partial<Settings>> {
  const { rows } = await client.query<{ name: string; value: unknown }>("SELECT name, value FROM policy.settings");
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

export async function writeSetting<N extends SettingName>(
  client: ClientBase,
  name: N,
  value: Settings[N],
): Promise<void> {
  await client.query(
    "INSERT INTO policy.settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    [name, JSON.stringify(value)],
  );
}
