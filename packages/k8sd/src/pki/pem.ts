/** One PEM block. */
export function pemEncode(label: string, body: Buffer): string {
  const lines = body.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The contents of all blocks with this label, in order; text between blocks is comment. */
export function pemDecode(label: string, text: string): readonly Buffer[] {
  const block = new RegExp(`-----BEGIN ${label}-----([^-]*)-----END ${label}-----`, "g");
  return [...text.matchAll(block)].map((match) => Buffer.from((match[1] ?? "").replace(/\s/g, ""), "base64"));
}
