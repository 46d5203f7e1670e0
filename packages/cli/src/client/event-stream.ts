export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** A step's event is some hundred bytes, the result at most a few kilobytes. */
const maxEventLength = 1024 * 1024;

/** The events of a text/event-stream. An event that the end of the stream cuts off is not given. */
export async function* readEvents(pieces: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let rest = "";
  let name = "message";
  let data: string[] = [];
  for await (const piece of pieces) {
    const lines = (rest + piece).split(/\r?\n/);
    rest = lines.pop() ?? "";
    if (rest.length > maxEventLength) throw new Error("an event of k8sd is too long");
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { name, data: data.join("\n") };
        name = "message";
        data = [];
        continue;
      }
      const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (field === "event") name = value;
      if (field === "data") data.push(value);
    }
  }
}
