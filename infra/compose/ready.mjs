// The health check of a service: `node ready.mjs PORT` ends with 0 when the service says that it can do its work.
import { request } from "node:https";

const place = `127.0.0.1:${process.argv[2]}/readyz`;

/** A gateway with a certificate speaks TLS only. Whose it is does not matter here: nothing is sent. */
const askSecurely = () =>
  new Promise((resolve, reject) => {
    const asked = request(`https://${place}`, { rejectUnauthorized: false }, (response) => {
      const ok = response.statusCode === 200;
      response.toArray().then((parts) => resolve({ ok, text: parts.join("") }), reject);
    });
    asked.on("error", reject).end();
  });

const { ok, text } = await fetch(`http://${place}`).then(
  async (response) => ({ ok: response.ok, text: await response.text() }),
  askSecurely,
);
process.stdout.write(`${text}\n`);
process.exitCode = ok ? 0 : 1;
