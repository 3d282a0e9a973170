// Makes the passwords of PostgreSQL and NATS, once, in the volume from which these two servers read them. Runs before
// they start; setup.mjs reads the passwords as well.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const dir = "/run/servers";

function secretIn(name) {
  const file = join(dir, name);
  if (!existsSync(file)) replace(file, randomBytes(24).toString("base64url"));
  return readFileSync(file, "utf8");
}

function replace(file, text) {
  writeFileSync(`${file}.part`, text, { mode: 0o600 });
  renameSync(`${file}.part`, file);
}

secretIn("postgres-password");
const password = secretIn("nats-password");
// max_payload: the largest message of the streams. Monitoring is for the health check, which runs in the container.
const settings = `port: 4222
http: "127.0.0.1:8222"
max_payload: 8MB
max_pending: 64MB
max_connections: 1024
jetstream {
  store_dir: "/var/lib/nats"
  max_memory_store: 256MB
  max_file_store: 20GB
}
authorization {
  user: tollgate
  password: "${password}"
}
`;
replace(join(dir, "nats.conf"), settings);
