// The health check of a service: `node ready.mjs PORT` ends with 0 when the service says that it can do its work.
const answer = await fetch(`http://127.0.0.1:${process.argv[2]}/readyz`);
process.stdout.write(`${await answer.text()}\n`);
process.exitCode = answer.ok ? 0 : 1;
