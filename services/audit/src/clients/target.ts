import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { DesiredExport } from "@tollgate/desired-state";
import { toCef } from "../domain/cef.ts";
import type { Exported } from "../domain/exported.ts";
import { toOtlpLogs } from "../domain/otlp.ts";
import { framed, inSyslog, toSyslog } from "../domain/syslog.ts";
import { openHttp } from "./http.ts";
import { partialSuccessOf } from "./otlp.ts";
import { sendBytes } from "./socket.ts";

/** PEM texts; absent where there is none. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What became of a batch that the receiver has answered for. */
export interface Delivered {
  /** Events that it will never take. */
  readonly rejected: number;
  /** Why. */
  readonly reason: string;
}

const ALL_TAKEN: Delivered = { rejected: 0, reason: "" };

/** Where an export goes. */
export interface Target {
  /**
   * Resolves when the receiver has the events.
   * @throws {AppError} `unavailable` when it may take them later, with `retryAfterMs` in its details where it says when;
   * `failed_precondition` when it refuses them as they are. Events may have arrived all the same
   */
  send(events: readonly Exported[], signal: AbortSignal): Promise<Delivered>;
  close(): void;
}

/** @throws {Error} when a file cannot be read */
export async function openTarget(wanted: DesiredExport): Promise<Target> {
  const tls = await readTlsFiles(wanted.tls);
  return wanted.type === "syslog" || wanted.type === "cef" ? syslogTarget(wanted, tls) : httpTarget(wanted, tls);
}

async function readTlsFiles({ caFile, certFile, keyFile }: DesiredExport["tls"]): Promise<TlsFiles> {
  const read = (file: string) => (file === "" ? undefined : readFile(file, "utf8"));
  const [ca, cert, key] = await Promise.all([read(caFile), read(certFile), read(keyFile)]);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

function syslogTarget({ type, url, facility, message, timeoutMs }: DesiredExport, tls: TlsFiles): Target {
  const { protocol, hostname: host, port } = new URL(url);
  const form = { facility, host: hostname() };
  const format = (each: Exported): string =>
    type === "cef" ? inSyslog(each, toCef(each, form.host), form) : toSyslog(each, { ...form, message });
  const place = { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
  return {
    async send(events, signal) {
      const bytes = Buffer.concat(events.map((each) => framed(format(each))));
      await sendBytes(bytes, { ...place, tls: protocol === "tls:" ? tls : undefined, timeoutMs, signal });
      return ALL_TAKEN;
    },
    close: () => {},
  };
}

function httpTarget(wanted: DesiredExport, tls: TlsFiles): Target {
  const http = openHttp({ ...wanted, tls });
  const host = hostname();
  return {
    async send(events, signal) {
      if (wanted.type === "http") {
        const body = events.map(({ line }) => `${line}\n`).join("");
        await http.post(body, { contentType: "application/x-ndjson", signal });
        return ALL_TAKEN;
      }
      const body = JSON.stringify(toOtlpLogs(events, { host, nowMs: Date.now() }));
      return partialSuccessOf(await http.post(body, { contentType: "application/json", signal }));
    },
    close: http.close,
  };
}
