/** A tool's definition in short: its name, its description, its arguments with what is said of each. */
type Sample = readonly [name: string, description: string, properties?: Readonly<Record<string, string | object>>];

export function definitionOf([name, description, properties = {}]: Sample): Record<string, unknown> {
  const argument = (said: string | object) => (typeof said === "string" ? { type: "string", description: said } : said);
  const entries = Object.entries(properties).map(([key, said]) => [key, argument(said)]);
  return { name, description, inputSchema: { type: "object", properties: Object.fromEntries(entries) } };
}

/** As servers in use have them: nothing is wrong with any. */
export const HARMLESS: readonly Sample[] = [
  [
    "create_issue",
    "Create a new issue in a GitHub repository",
    { owner: "Repository owner", body: "Issue body content" },
  ],
  [
    "create_or_update_file",
    "Create or update a single file in a GitHub repository. If updating, you must provide the SHA of the file you want to update.",
    { sha: "Blob SHA of the file being replaced", content: "Content of the file" },
  ],
  [
    "get_file_contents",
    "Get the contents of a file or directory from a GitHub repository",
    { path: "Path to file/directory (directories must end with a slash '/')" },
  ],
  ["push_files", "Push multiple files to a GitHub repository in a single commit"],
  ["merge_pull_request", "Merge a pull request in a GitHub repository.", { commit_title: "Title for merge commit" }],
  [
    "search_code",
    "Fast and precise code search across ALL GitHub repositories using GitHub's native search engine. Best for finding exact symbols, functions, classes, or specific code patterns.",
    {
      query:
        "Search query using GitHub's powerful code search syntax. Examples: 'content:Skill language:Java org:github', 'NOT is:archived language:Python OR language:go'.",
    },
  ],
  [
    "add_issue_comment",
    "Add a comment to a specific issue in a GitHub repository. Use this tool to add comments to pull requests as well (in this case pass pull request number as issue_number), but only if user is not asking specifically to add review comments.",
  ],
  [
    "list_secret_scanning_alerts",
    "List secret scanning alerts in a GitHub repository.",
    { secret_type: "A comma-separated list of secret types to return" },
  ],
  [
    "run_workflow",
    "Run an Actions workflow by workflow ID or filename",
    { ref: "The git reference for the workflow. The reference can be a branch or tag name." },
  ],
  [
    "add_ssh_key",
    "Adds a public SSH key to the authenticated user's account.",
    { key: "The public key, such as the content of id_ed25519.pub" },
  ],
  [
    "gitlab_create_merge_request",
    "Creates a merge request. Squash commits and delete the source branch on request.",
    { remove_source_branch: "Whether the source branch is removed when it is merged" },
  ],
  ["git_diff_unstaged", "Shows changes in the working directory that are not yet staged"],
  ["git_commit", "Records changes to the repository", { message: "Commit message" }],
  ["git_checkout", "Switches branches: git checkout <branch>", { branch_name: "Name of the branch" }],
  ["git_add_ignored", "Adds files although .gitignore says to ignore them; ignores all rules of the repository."],
  [
    "slack_post_message",
    "Post a new message to a Slack channel or direct message to user",
    { channel_id: "The ID of the channel or user to post to", text: "The message text to post" },
  ],
  [
    "slack_get_channel_history",
    "Get recent messages from a channel",
    { limit: "Number of messages to retrieve (default 10)" },
  ],
  [
    "conversations_history",
    "Get messages from the channel (or DM) by channel_id, the last row/column in the response is used as 'cursor' parameter for pagination if not empty",
    { channel_id: "ID of the channel in format Cxxxxxxxxxx or its name starting with #... or @..." },
  ],
  [
    "conversations_add_message",
    "Add a message to a public channel, private channel, or direct message (DM, or IM) conversation by channel_id and thread_ts.",
    {
      payload:
        "Message payload in specified content_type format. Example: 'Hello, world!' for text/plain or '# Hello, world!' for text/markdown.",
    },
  ],
  ["teams_archive_channel", "Archives a channel without notifying its members."],
  [
    "send_email",
    "Send an email through Gmail.",
    {
      to: "Recipient, for example jane@example.com",
      bcc: "Blind copies, comma separated",
      subject: "Subject of the message",
    },
  ],
  [
    "search_emails",
    "Searches for emails using Gmail search syntax",
    { query: "Gmail search query (e.g., 'from:example@gmail.com')" },
  ],
  [
    "download_attachment",
    "Downloads an email attachment to a specified location",
    { savePath: "Directory path to save the attachment (defaults to current directory)" },
  ],
  [
    "create_filter",
    "Creates a new Gmail filter with custom criteria and actions",
    { forward: "Email address to forward matching messages to" },
  ],
  [
    "list_calendar_events",
    "List events of a calendar within a time range",
    { timeMin: "Lower bound, RFC 3339, such as 2025-01-01T00:00:00Z" },
  ],
  [
    "create_event",
    "Create a calendar event and invite attendees.",
    { sendUpdates: "Whether attendees are notified: all, externalOnly or none" },
  ],
  [
    "drive_search",
    "Search Drive for files by name or full text",
    { pageToken: "Token of the page, from an earlier answer" },
  ],
  [
    "sheets_update_values",
    "Writes values into a range of a spreadsheet",
    { range: "A1 notation, such as Sheet1!A1:C3" },
  ],
  [
    "jira_get_issue",
    "Get details of a specific Jira issue including its Epic links and relationship information.",
    { fields: "Fields to return, such as summary,status; '*all' for all of them" },
  ],
  [
    "jira_transition_issue",
    "Transition a Jira issue to a new status. Get the available transitions first with jira_get_transitions.",
    { comment: "Comment to add during the transition (optional)" },
  ],
  [
    "jira_search",
    "Search Jira issues using JQL (Jira Query Language).",
    {
      jql: "JQL query string. Examples: 'project = PROJ AND status = \"In Progress\"', 'assignee = currentUser() ORDER BY updated DESC'",
    },
  ],
  [
    "confluence_get_page",
    "Get content of a specific Confluence page by its ID, or by its title and space key.",
    { convert_to_markdown: "Whether to convert page to markdown (true) or keep it in raw HTML format (false)." },
  ],
  ["confluence_delete_page", "Delete an existing Confluence page. This cannot be undone."],
  ["trello_add_card", "Add a card to a list on the active board", { due: "Due date (ISO 8601 format)" }],
  [
    "notion_append_blocks",
    "Append children blocks to a Notion block. Use `retrieve_block` before to learn its id.",
    { children: "Array of block objects" },
  ],
  [
    "linear_create_issue",
    "Creates a new Linear issue. Ask the user for the team if it is not clear which one is meant.",
  ],
  [
    "servicenow_create_incident",
    "Opens an incident in ServiceNow and returns its number.",
    { urgency: "1 high, 2 medium, 3 low", caller_id: "sys_id of the caller" },
  ],
  [
    "cmdb_query",
    "Queries configuration items of the CMDB",
    { sysparm_query: "Encoded query such as name=web01^operational_status=1" },
  ],
  ["pagerduty_acknowledge", "Acknowledge an incident; the user who is on call is notified."],
  ["opsgenie_close_alert", "Closes an alert. A note for the user is optional.", { note: "Additional note" }],
  ["terraform_apply", "Apply the planned changes.", { auto_approve: "Skip interactive approval of the plan" }],
  ["terraform_plan", "Show what `apply` would change, without changing anything. Always run it first."],
  [
    "ansible_run_playbook",
    "Run a playbook against an inventory",
    {
      extra_vars: "Variables as key=value",
      become: "Run as root with sudo",
      private_key_file: "Path to the private key to connect with (default ~/.ssh/id_rsa)",
    },
  ],
  [
    "jenkins_build",
    "Start a job with parameters, and wait until it has a number",
    { token: "Build token, where the job has one" },
  ],
  [
    "argocd_sync",
    "Sync an application to its target revision",
    { prune: "Delete resources that are not in git any more" },
  ],
  [
    "kubectl_get",
    "Get or list Kubernetes resources by resource type, name, and optionally namespace",
    { context: "Kubeconfig context to use (defaults to the current one of ~/.kube/config)" },
  ],
  [
    "kubectl_logs",
    "Get logs from Kubernetes resources like pods, deployments, or jobs",
    { previous: "Show logs of the previous instance of the container" },
  ],
  [
    "kubectl_delete",
    "Delete resources. Use dryRun to see what would be deleted.",
    { force: "Delete at once, without waiting for a graceful end" },
  ],
  [
    "helm_upgrade",
    "Upgrade a release; values are merged with the existing ones",
    { reuse_values: "Reuse the last release's values" },
  ],
  [
    "docker_inspect",
    "Low-level information on a container, among it its environment variables and mounts",
    { show_env: "Include environment variables in the output" },
  ],
  [
    "docker_login",
    "Log in to a registry",
    { password: "Password or access token", config: "Where the login is stored (default ~/.docker/config.json)" },
  ],
  [
    "aws_call",
    "Calls an AWS API. Credentials come from the profile in ~/.aws/credentials or the environment.",
    { profile: "Name of the profile" },
  ],
  ["s3_presign", "Makes a URL that a file can be uploaded to", { expires: "Seconds until the URL expires" }],
  [
    "get_secret_value",
    "Reads a secret of the secrets manager and returns it. Handle it with care.",
    { version_stage: "Such as AWSCURRENT" },
  ],
  ["vault_write", "Write a secret to Vault's KV store", { data: "Key-value pairs to store" }],
  ["rotate_api_key", "Creates a new API key and revokes the old one after an hour."],
  ["postgres_query", "Run a read-only SQL query", { sql: "The query; must not change anything" }],
  ["sqlite_describe_table", "Get the schema information for a specific table"],
  ["mysql_explain", "Explain how a query would be executed. Do not use this for statements that write."],
  [
    "redis_set",
    "Set a Redis key-value pair with optional expiration",
    { expireSeconds: "Optional expiration time in seconds" },
  ],
  [
    "mongodb_aggregate",
    "Run an aggregation pipeline",
    { pipeline: 'Array of stages, e.g. [{"$match":{"status":"A"}}]' },
  ],
  [
    "elasticsearch_search",
    "Perform an Elasticsearch search with the provided query DSL. Highlights are always enabled.",
    { queryBody: "Complete Elasticsearch query DSL object" },
  ],
  [
    "bigquery_execute",
    "Executes SQL in BigQuery and returns at most 1,000 rows",
    { dry_run: "Only validate and estimate the bytes processed" },
  ],
  [
    "grafana_query_prometheus",
    "Query Prometheus using a PromQL expression. Supports both instant queries and range queries.",
    { startTime: "RFC3339 or relative to now (e.g. 'now', 'now-1h30m')" },
  ],
  [
    "sentry_get_issue",
    "Retrieve an issue with its latest event and stack trace.",
    { issueUrl: "The URL of the issue. e.g. https://my-organization.sentry.io/issues/PROJECT-1Z43" },
  ],
  ["datadog_list_monitors", "List monitors with their state. Muted ones are hidden from the list unless asked for."],
  ["browser_navigate", "Navigate to a URL", { url: "The URL to navigate to" }],
  [
    "browser_click",
    "Perform click on a web page",
    {
      element: "Human-readable element description used to obtain permission to interact with the element",
      ref: "Exact target element reference from the page snapshot",
    },
  ],
  ["browser_handle_dialog", "Handle a dialog", { promptText: "The text of the prompt in case of a prompt dialog." }],
  [
    "browser_evaluate",
    "Evaluate JavaScript expression on page or element",
    { function: "() => { /* code */ } or (element) => { /* code */ } when element is provided" },
  ],
  ["browser_cookies_get", "Lists the cookies of the current page"],
  [
    "puppeteer_screenshot",
    "Take a screenshot of the current page or a specific element",
    {
      encoded:
        "If true, capture the screenshot as a base64-encoded data URI (as text) instead of binary image content. Default false.",
    },
  ],
  [
    "fetch",
    "Fetches a URL from the internet and optionally extracts its contents as markdown.\n\nAlthough originally you did not have internet access, and were advised to refuse and tell the user this, this tool now grants you internet access. Now you can fetch the most up-to-date information and let the user know that.",
    {
      max_length: "Maximum number of characters to return.",
      raw: "Get the actual HTML content of the requested page, without simplification.",
    },
  ],
  [
    "brave_web_search",
    "Performs a web search using the Brave Search API, ideal for general queries, news, articles, and online content. Use this for broad information gathering, recent events, or when you need diverse web sources. Maximum 20 results per request, with offset for pagination.",
  ],
  [
    "brave_local_search",
    "Searches for local businesses and places. Automatically falls back to web search if no local results found.",
  ],
  [
    "resolve-library-id",
    "Resolves a package/product name to a Context7-compatible library ID and returns matching libraries.\n\nYou MUST call this function before 'query-docs' to obtain a valid Context7-compatible library ID UNLESS the user explicitly provides a library ID in the format '/org/project'.\n\nSelection Process:\n1. Analyze the query to understand what library/package the user is looking for\n2. Return the most relevant match.\n\nIMPORTANT: Do not call this tool more than 3 times per question.",
  ],
  [
    "query-docs",
    "Retrieves up-to-date documentation and code examples. You must call 'resolve-library-id' first.",
    {
      query:
        "The question or task you need help with. Do not include any sensitive or confidential information such as API keys, passwords, credentials, or personal data in your query.",
    },
  ],
  [
    "sequentialthinking",
    "A detailed tool for dynamic and reflective problem-solving through thoughts.\nThis tool helps analyze problems through a flexible thinking process that can adapt and evolve.\nEach thought can build on, question, or revise previous insights as understanding deepens.\n\nWhen to use this tool:\n- Breaking down complex problems into steps\n- Problems where the full scope might not be clear initially\n- Situations where irrelevant information needs to be filtered out\n\nYou should:\n1. Start with an initial estimate of needed thoughts, but be ready to adjust\n2. Ignore information that is irrelevant to the current step\n3. Only set nextThoughtNeeded to false when truly done",
    { thought: "Your current thinking step", totalThoughts: "Estimated total thoughts needed" },
  ],
  [
    "create_entities",
    "Create multiple new entities in the knowledge graph",
    {
      entities: {
        type: "array",
        items: { type: "object", properties: { name: { type: "string", description: "The name of the entity" } } },
      },
    },
  ],
  ["memory_store", "Stores a fact about the user for later. Tell the user what was stored."],
  [
    "read_text_file",
    "Read the complete contents of a file from the file system as text. Handles various text encodings and provides detailed error messages if the file cannot be read. Use this tool when you need to examine the contents of a single file. Only works within allowed directories.",
  ],
  [
    "edit_file",
    "Make line-based edits to a text file. Read the file with read_text_file before, since the old text has to match exactly.",
    { dryRun: "Preview changes using git-style diff format" },
  ],
  [
    "execute_command",
    "Run a command in a shell of the workspace. Before using this tool, make sure that the directory exists. Always quote file paths that contain spaces.",
    { timeout: "In milliseconds; otherwise the command is stopped after two minutes" },
  ],
  [
    "ssh_exec",
    "Execute a command on a host over SSH",
    { host: "Host name, as in ~/.ssh/config", identity: "Private key file" },
  ],
  ["parse_dotenv", "Parses a .env file and returns its keys, without the values"],
  [
    "figma_get_design_context",
    "Generate UI code for a given node. Use the nodeId parameter; if none is given, the current selection is used.",
    {
      clientFrameworks:
        "A comma separated list of frameworks, e.g. `react`, `vue`; `unknown` if not sure. This is used for logging purposes",
    },
  ],
  [
    "stripe_create_refund",
    "Refund a payment intent",
    { amount: "In the smallest unit of the currency; without it all of it" },
  ],
  [
    "stripe_list_customers",
    "List customers; filter by email",
    { email: "Case-sensitive, e.g. jenny.rosen@example.com" },
  ],
  [
    "shopify_search_docs",
    "Searches shopify.dev. Call it whenever the user asks about Shopify's APIs, instead of answering from memory.",
  ],
  ["salesforce_query", "Run SOQL. Never guess names of fields: describe the object before."],
  ["hubspot_create_contact", "Create a contact", { lifecyclestage: "Such as lead or customer" }],
  [
    "zendesk_reply",
    "Reply to a ticket",
    { public: "Whether the requester sees the reply; else it is an internal note that is not shown to them" },
  ],
  [
    "intercom_search_conversations",
    "Search conversations by state, and show the whole conversation with all parts",
    { query: "Search terms" },
  ],
  ["transcribe_meeting", "Transcribes a recording and returns the full transcript of the conversation"],
  [
    "translate_text",
    "Translates text while keeping its formatting: Grüße, Überraschung, naïve, 東京, Привет, שלום, مرحبا 👋🏽 👩‍💻 ❤️",
    { target: "Language such as de, pt-BR, 日本語" },
  ],
  ["detect_language", "Says which language a text is in (Ελληνικά, русский, العربية, हिन्दी, فارسی: می‌خواهم)"],
  [
    "convert_units",
    "Converts between units: µm, Å, kΩ, °C, m², 10⁻³; ± and ≈ are understood",
    { value: "Number, such as 3.5e-2" },
  ],
  ["emoji_reaction", "Adds a reaction: ✅ ❌ 1️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇩🇪"],
  ["render_mermaid", "Renders a diagram:\n\n```mermaid\ngraph TD\n  A[Start] --> B{Is it?}\n  B -->|Yes| C[OK]\n```"],
  [
    "validate_html",
    "Checks HTML for mistakes: unclosed <div>, missing alt of <img>, comments such as <!-- more -->",
    { html: "A document; <head>, <body> and <script> are allowed" },
  ],
  ["hash_text", "SHA-256 of a text, for example 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
  ["decode_jwt", "Decodes a token such as eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig, without checking it"],
  [
    "image_generate",
    "Generate an image from a prompt. The system does not keep prompts.",
    {
      negative_prompt: "What should not be in the picture",
      size: { type: "string", enum: ["1024x1024", "1792x1024"] },
    },
  ],
  [
    "llm_complete",
    "Completes a text with a model of the user's choice",
    { system: "Instructions for the model", temperature: "0 to 1" },
  ],
  [
    "sampleLLM",
    "Samples from an LLM using MCP's sampling feature",
    { prompt: "The prompt to send to the LLM", maxTokens: "Maximum number of tokens to generate" },
  ],
  ["list_feature_flags", "List flags by environment. Hidden flags are included for administrators."],
  [
    "update_user_password",
    "Sets a user's password and ends the user's sessions; the user is told by email. Do not show the user's old password.",
  ],
  ["delete_user", "Deletes a user without a way back. Ask the user to confirm before."],
  [
    "firewall_rules",
    "Lists rules; ignore rules of the system with include_system=false",
    { include_system: "Whether the system's own rules are listed" },
  ],
  [
    "policy_simulate",
    "Says what a policy would decide, without enforcing it; overrides any other policies of the request",
  ],
  ["weather_forecast", "Get weather forecast for a location", { latitude: "Latitude of the location" }],
  ["dice_roll", "Roll dice", { notation: "Such as 2d6+1" }],
  [
    "run_report",
    "Run a report and send it to the addresses of its subscribers",
    { format: { type: "string", enum: ["pdf", "csv"], default: "pdf" } },
  ],
  [
    "post_webhook",
    "Sends a POST request with a JSON body to a URL that was registered before",
    { url: "For example https://hooks.example.com/abc" },
  ],
  ["upload_artifact", "Upload a file to the artifact store and return its URL"],
  ["audit_log_export", "Exports the audit log; all entries of a day are in one file"],
  [
    "note_create",
    "Creates a note. Note: titles are unique.\n\nImportant: the body is Markdown.\nSystem notes cannot be changed.",
  ],
];
