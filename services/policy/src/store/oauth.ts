import type { ClientBase } from "pg";
import type { OauthSettings } from "../domain/access-token.ts";

export async function readOauth(client: ClientBase): Promise<OauthSettings | undefined> {
  const { rows } = await client.query<{ settings: OauthSettings }>("SELECT settings FROM policy.oauth");
  return rows[0]?.settings;
}

export async function writeOauth(client: ClientBase, settings: OauthSettings | undefined): Promise<void> {
  await client.query("DELETE FROM policy.oauth");
  if (settings !== undefined) await client.query("INSERT INTO policy.oauth (settings) VALUES ($1)", [settings]);
}
