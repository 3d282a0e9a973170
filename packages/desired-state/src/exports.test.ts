import { readFile } from "node:fs/promises";
import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const SECRET = "siem-secret-0123456789";
const load = (given: string) =>
  loadDesiredState(`audit: { exports: ${given} }`, { file: "/etc/tollgate/tollgate.yaml", env: { SIEM_TOKEN: SECRET } })
    .audit.exports;

function messageOf(given: string): string {
  try {
    load(given);
    return "";
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message;
  }
}

const DEFAULTS = {
  tenants: [],
  kinds: [],
  outcomes: [],
  from: "now",
  headers: {},
  tls: { caFile: "", certFile: "", keyFile: "" },
  facility: 13,
  message: "event",
  gzip: false,
  batchMax: 500,
  batchWaitMs: 1_000,
  timeoutMs: 30_000,
};

test.each(["groups: []", "audit:", "audit: {}"])("%s: nothing is exported", (text) => {
  expect(loadDesiredState(text, { file: "tollgate.yaml", env: {} }).audit.exports).toEqual([]);
});

test("an export with nothing but its place", () => {
  expect(load('[{ id: siem, type: syslog, url: "tcp://siem.example:514" }]')).toEqual([
    { ...DEFAULTS, id: "siem", type: "syslog", url: "tcp://siem.example:514" },
  ]);
});

test("everything said", () => {
  const syslog = `{ id: a, type: syslog, url: "tls://[::1]:6514", tenants: [acme], kinds: [call, alert], outcomes: [ok],
    from: "2026-11-01T00:00:00+01:00", tls: { ca_file: ca.pem, cert_file: /tls/cert.pem, key_file: key.pem },
    facility: 16, message: text, batch_max: 5, batch_wait: 0.25, timeout: 2.5 }`;
  const otlp = `{ id: b, type: otlp, url: "https://otel.example/v1/logs", headers: { authorization: "\${SIEM_TOKEN}" },
    from: beginning, gzip: true }`;
  expect(load(`[${syslog}, ${otlp}]`)).toEqual([
    {
      ...DEFAULTS,
      id: "a",
      type: "syslog",
      url: "tls://[::1]:6514",
      tenants: ["acme"],
      kinds: ["call", "alert"],
      outcomes: ["ok"],
      from: Date.UTC(2026, 9, 31, 23),
      tls: { caFile: "/etc/tollgate/ca.pem", certFile: "/tls/cert.pem", keyFile: "/etc/tollgate/key.pem" },
      facility: 16,
      message: "text",
      batchMax: 5,
      batchWaitMs: 250,
      timeoutMs: 2_500,
    },
    {
      ...DEFAULTS,
      id: "b",
      type: "otlp",
      url: "https://otel.example/v1/logs",
      headers: { authorization: SECRET },
      from: "beginning",
      gzip: true,
    },
  ]);
});

test("a collector's host is enough", () => {
  const urls = ["https://otel.example", "http://localhost:4318/", "https://otel.example/custom"];
  const given = urls.map((url, at) => `{ id: e${at}, type: otlp, url: "${url}" }`);
  expect(load(`[${given.join(", ")}]`).map(({ url }) => url)).toEqual([
    "https://otel.example/v1/logs",
    "http://localhost:4318/v1/logs",
    "https://otel.example/custom",
  ]);
});

test("the example of docs/audit-exports.md is one", async () => {
  const docs = await readFile(new URL("../../../docs/audit-exports.md", import.meta.url), "utf8");
  const [, example] = /```yaml\n([^]*?)```/.exec(docs)!;
  const readSecret = () => ({ ok: true, value: SECRET }) as const;
  const { audit } = loadDesiredState(example!, { file: "tollgate.yaml", env: {}, readSecret });
  expect(audit.exports.map(({ type }) => type)).toEqual(["syslog", "cef", "otlp", "http"]);
  expect(audit.exports[2]!.headers).toEqual({ Authorization: `Bearer ${SECRET}` });
});

const HTTP = 'id: a, type: http, url: "https://lake.example/in"';
const SYSLOG = 'id: a, type: syslog, url: "tcp://siem.example:514"';

test.each([
  [`{ ${HTTP} }, { ${SYSLOG} }`, "audit.exports[1].id is the id of another export already"],
  ['{ id: a, type: syslog, url: "udp://siem.example:514" }', "[0].url is UDP, which loses what"],
  ['{ id: a, type: syslog, url: "https://siem.example" }', "[0].url has to begin with tcp:// or tls:// for this type"],
  ['{ id: a, type: http, url: "tcp://siem.example:514" }', "[0].url has to begin with http:// or https://"],
  ['{ id: a, type: cef, url: "tls://siem.example" }', "[0].url needs a port"],
  ['{ id: a, type: cef, url: "tls://siem.example:6514/x?y" }', "[0].url has to end with its port"],
  ['{ id: a, type: http, url: "https://me:secret@lake.example" }', "[0].url must not hold a user or a password"],
  ['{ id: a, type: http, url: "lake.example" }', "[0].url has to be a URL"],
  [`{ ${SYSLOG}, headers: { x: "\${SIEM_TOKEN}" } }`, "[0].headers goes with the types otlp and http only"],
  [`{ ${SYSLOG}, tls: {} }`, "[0].tls goes with tls:// and https:// only"],
  [`{ ${HTTP}, tls: { cert_file: a.pem } }`, "[0].tls.cert_file needs key_file"],
  [`{ ${HTTP}, facility: 1 }`, "[0].facility goes with the types syslog and cef only"],
  [`{ ${HTTP}, kinds: [calls] }`, "[0].kinds[0] "],
  [`{ ${HTTP}, from: yesterday }`, "[0].from "],
  [`{ ${HTTP}, batch_max: 0 }`, "[0].batch_max "],
  [`{ ${HTTP}, batchmax: 1 }`, 'batchmax is not a known key; is "batch_max" meant?'],
  [
    '{ id: a, type: otlp, url: "http://otel.example", headers: { authorization: "${SIEM_TOKEN}" } }',
    "[0].headers would travel unencrypted to another machine",
  ],
])("%s is a mistake, told without its values", (given, expected) => {
  const message = messageOf(`[${given}]`);
  expect(message).toContain(expected);
  expect(message).not.toContain("secret@");
  expect(message).not.toContain(SECRET);
});
