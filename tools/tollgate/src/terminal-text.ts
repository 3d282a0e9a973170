/** What is not ours may hold what a terminal would do: it is shown as what it is. */
export function printable(text: string): string {
  return text.replace(/(?![\n\t])\p{Cc}/gu, (each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

export function onOneLine(text: string): string {
  return printable(text.replace(/[\n\t]/g, " "));
}
