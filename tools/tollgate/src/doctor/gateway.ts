import type { Api } from "../api.ts";
import type { Target } from "../connect.ts";
import { explain } from "../next-step.ts";
import { type Row, textOf } from "../table.ts";
import { type Finding, ok, problem, some, warning } from "./finding.ts";

const CLOCK_MAX_MS = 5_000;
const PERCENT = 100;
const FULL_PERCENT = 80;
/** Of a second's worth of calls. */
const BEHIND_MAX = 1_000;
const CERTIFICATE_DAYS = 21;
const DAY_MS = 86_400_000;

/** Whether it answers, and takes the token; what it says of itself is looked at further. */
export async function checkGateway(target: Target, api: Api): Promise<{ findings: Finding[]; health?: Row }> {
  const asked = Date.now();
  try {
    const health = await api.get("/api/v1/health");
    const took = Date.now() - asked;
    const difference = Date.parse(textOf(health["at"])) - Date.now();
    return {
      findings: [
        ok(`${target.url} answers, and takes the token`),
        ...(await checkCertificate(target)),
        Math.abs(difference) > CLOCK_MAX_MS + took
          ? warning(
              `the gateway's clock differs by ${Math.round(difference / 1_000)} s from this one`,
              "set both by NTP: tokens and signatures have times",
            )
          : ok("the clocks agree"),
      ],
      health,
    };
  } catch (error) {
    const [what, ...advice] = (await explain(error, undefined)).split("\n");
    return { findings: [problem(what!, advice.join(" ") || "look into the logs of the gateway")] };
  }
}

async function checkCertificate({ url }: Target): Promise<Finding[]> {
  if (!url.startsWith("https:")) {
    const isHere = /^http:\/\/(127\.|localhost|\[::1\])/.test(url);
    return isHere
      ? []
      : [warning(`${url} is not encrypted`, "give control_plane.ssl a certificate: the token can be read on the way")];
  }
  const end = await certificateEnd(url);
  if (end === undefined) return [];
  const days = Math.floor((end - Date.now()) / DAY_MS);
  if (days > CERTIFICATE_DAYS) return [ok(`its certificate is good for ${days} days`)];
  return [warning(`its certificate ends in ${days} days`, "renew it; the gateway reads the files anew by itself")];
}

/** Whoever answers here was trusted just before. */
async function certificateEnd(url: string): Promise<number | undefined> {
  const { connect } = await import("node:tls");
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || "443"), rejectUnauthorized: false }, () => {
      resolve(Date.parse(socket.getPeerCertificate().valid_to));
      socket.destroy();
    });
    socket.once("error", () => resolve(undefined));
    socket.setTimeout(CLOCK_MAX_MS, () => (socket.destroy(), resolve(undefined)));
  });
}

/** Every part of it, and the streams between them. */
export function checkHealth(health: Row): Finding[] {
  const parts = health["parts"] as Row[];
  const found: Finding[] = [];
  const ready = parts.filter((part) => part["ready"] === true).map((part) => textOf(part["name"]));
  if (ready.length > 0) found.push(ok(`ready: ${some(ready)}`));
  for (const part of parts.filter((each) => each["ready"] !== true)) {
    const reasons = Object.values(part["reasons"] as Row)
      .map(textOf)
      .join("; ");
    found.push(problem(`${textOf(part["name"])} is not ready: ${reasons}`, logAdvice(textOf(part["name"]))));
  }
  for (const name of health["missing"] as string[])
    found.push(problem(`nobody answers for ${name}`, `${logAdvice(name)}; it may still be starting`));
  const versions = [...new Set(parts.map((part) => textOf(part["version"])))];
  if (versions.length > 1)
    found.push(
      warning(`there are several versions: ${versions.join(", ")}`, "go on with the upgrade: docs/upgrading.md"),
    );
  for (const part of parts.filter(({ behind }) => Number(behind ?? 0) > BEHIND_MAX))
    found.push(
      warning(
        `${textOf(part["name"])} is ${textOf(part["behind"])} messages behind`,
        "look at its database: what is not stored stays on the stream for seven days",
      ),
    );
  return [...found, ...(health["streams"] as Row[]).flatMap(checkStream)];
}

function checkStream(stream: Row): Finding[] {
  const name = textOf(stream["name"]);
  const percent = Math.round((PERCENT * Number(stream["bytes"])) / Number(stream["maxBytes"]));
  if (name === "DEAD" && Number(stream["messages"]) > 0)
    return [warning(`${textOf(stream["messages"])} messages could not be processed`, "tollgate dead-letters list")];
  if (percent < FULL_PERCENT || name === "REPLIES" || name === "DEAD") return [];
  return [
    problem(
      `the stream ${name} is full to ${percent} %`,
      "what reads it is behind or away: at 100 % calls are refused",
    ),
  ];
}

function logAdvice(name: string): string {
  return `look into .tollgate/logs/${name}.log`;
}
