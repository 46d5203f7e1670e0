import { expect, test } from "vitest";
import { readEvents } from "../../src/client/event-stream.ts";

async function eventsOf(...pieces: string[]): Promise<unknown[]> {
  async function* source() {
    yield* pieces;
  }
  const events: unknown[] = [];
  for await (const event of readEvents(source())) events.push(event);
  return events;
}

test("events are found however the stream is cut into pieces", async () => {
  const text = ': keep-alive\n\nevent: step\ndata: {"a":1}\n\nevent: result\r\ndata: x\r\ndata:y\r\n\r\ndata: z\n\n';
  const expected = [
    { name: "step", data: '{"a":1}' },
    { name: "result", data: "x\ny" },
    { name: "message", data: "z" },
  ];
  expect(await eventsOf(text)).toEqual(expected);
  expect(await eventsOf(...text)).toEqual(expected);
});

test("an event without its end is not an event", async () => {
  expect(await eventsOf("event: result\ndata: {}\n")).toEqual([]);
});

test("an event without end does not fill the memory", async () => {
  await expect(eventsOf("data: ", "x".repeat(1024 * 1024))).rejects.toThrow("too long");
});
