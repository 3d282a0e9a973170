import { createHmac } from "node:crypto";
import type { Parsed } from "@tollgate/contracts";
import type { DesiredWebhook } from "@tollgate/desired-state";

export const WEBHOOK_TIMEOUT_MS = 10_000;

/**
 * One try. The receiver has taken it when it answers with a 2xx. The signature is HMAC-SHA256 of `<time>.<body>`; the time,
 * in seconds, keeps somebody who has seen a request from sending it again later.
 * @param webhook with its secrets filled in
 * @returns why it was not taken, without the address or anything that is secret
 */
export async function sendWebhook(
  { url, headers, secret }: DesiredWebhook,
  { id, body, nowMs }: { id: string; body: string; nowMs: number },
): Promise<Parsed<undefined>> {
  const seconds = Math.floor(nowMs / 1_000);
  const signature = (key: string) => createHmac("sha256", key).update(`${seconds}.${body}`).digest("hex");
  try {
    const response = await fetch(url, {
      method: "POST",
      // Whoever can make it redirect would get what is in the headers.
      redirect: "manual",
      signal: AbortSignal.timeout(WEBHOOK_TIMEOUT_MS),
      headers: {
        ...headers,
        "content-type": "application/json",
        "x-tollgate-delivery": id,
        ...(secret === undefined ? {} : { "x-tollgate-signature": `t=${seconds},v1=${signature(secret)}` }),
      },
      body,
    });
    await response.body?.cancel();
    return response.ok ? { ok: true, value: undefined } : { ok: false, reason: `answered ${response.status}` };
  } catch (error) {
    // Its message may hold the address, which may be a secret.
    const { name, cause } = error as Error & { cause?: { code?: unknown } };
    const code = typeof cause?.code === "string" ? cause.code : name;
    return { ok: false, reason: `cannot be reached: ${code}` };
  }
}
