// Shows one approval and takes a decision. What servers and callers have written is text here, never markup.

const BASE = "../api/v1/approvals";
const id = location.pathname.split("/").at(-1);
const at = (name) => document.getElementById(name);
let token = "";
let shown;

async function ask(path, body) {
  const response = await fetch(BASE + path, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    cache: "no-store",
    credentials: "omit",
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail ?? `the gateway answered ${response.status}`);
  return answer;
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function show(approval) {
  shown = approval;
  const facts = {
    Status: `${approval.status}, ${approval.needed} needed`,
    Tool: `${approval.server}: ${approval.tool}`,
    Group: approval.group,
    Risk: approval.risk,
    Caller: `${approval.principal} of ${approval.team}, ${approval.tenant}`,
    Justification: approval.justification || "none yet",
    Requested: approval.requestedAt,
    [approval.status === "approved" ? "Access until" : "Open until"]: approval.expiresAt,
  };
  at("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  at("arguments").textContent = JSON.stringify(approval.arguments, null, 2);
  at("votes").replaceChildren(
    ...approval.votes.map(({ by, approve, reason }) =>
      element("li", `${by} ${approve ? "approved" : "denied"}${reason === "" ? "" : `: ${reason}`}`),
    ),
  );
  const isPending = approval.status === "pending";
  at("why").hidden = !(isPending && approval.justificationMissing);
  at("decision").hidden = !(isPending || approval.status === "approved");
  at("approve").hidden = !isPending;
  at("deny").hidden = !isPending;
  at("revoke").hidden = isPending;
  at("call").hidden = false;
}

/** One thing at a time; what goes wrong is said. */
async function run(work) {
  const buttons = document.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  at("message").textContent = "…";
  try {
    show(await work());
    at("message").textContent = "";
  } catch (error) {
    at("message").textContent = error.message;
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function onSubmit(name, work) {
  at(name).addEventListener("submit", (event) => {
    event.preventDefault();
    void run(() => work(event));
  });
}

onSubmit("access", () => {
  token = at("token").value.trim();
  return ask(`/${id}`);
});
onSubmit("why", async () => {
  const { server, tool } = shown;
  await ask("", { server, tool, arguments: shown.arguments, justification: at("justification").value });
  return ask(`/${id}`);
});
onSubmit("decision", async ({ submitter }) => {
  await ask(`/${id}/${submitter.value}`, { reason: at("reason").value.trim() });
  return ask(`/${id}`);
});
