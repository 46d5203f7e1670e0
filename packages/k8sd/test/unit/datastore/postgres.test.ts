import { expect, test } from "vitest";
import { checkServer, refusal } from "../../../src/datastore/engine/postgres/connection.ts";
import { isPostgresUrl, isUnprotected, withoutPassword } from "../../../src/datastore/postgres-url.ts";

test("a server that is too old, or a replica, is refused with what to do", () => {
  expect(() => checkServer([150_018, "15.18", false])).not.toThrow();
  expect(() => checkServer([130_023, "13.23", false])).toThrow("PostgreSQL 13.23: it is older than 14");
  expect(() => checkServer([150_018, "15.18", true])).toThrow("standby");
});

test.each([
  ["28P01", "unauthorized"],
  ["3D000", "not-found"],
  ["42501", "forbidden"],
  ["ECONNREFUSED", "unavailable"],
])("an error %s of the connection is %s", (code, kind) => {
  expect(refusal(Object.assign(new Error("it said so"), { code }))).toMatchObject({
    kind,
    message: expect.stringContaining("it said so"),
    remedy: expect.any(String),
  });
});

test.each([
  ["postgres://u:p@h/d", "postgres://u@h/d"],
  ["postgresql://u:p%40x@h:5432/d?sslmode=require&password=p", "postgresql://u@h:5432/d?sslmode=require"],
  ["postgres://u@localhost/d?host=/run/postgresql", "postgres://u@localhost/d?host=%2Frun%2Fpostgresql"],
])("%s is shown without its password", (url, shown) => {
  expect(isPostgresUrl(url)).toBe(true);
  expect(withoutPassword(url)).toBe(shown);
});

test.each([
  ["postgres://u@db.example/d", true],
  ["postgres://u@db.example/d?sslmode=verify-full", false],
  ["postgres://u@db.example/d?sslmode=disable", false],
  ["postgres://u@localhost/d", false],
  ["postgres://u@127.0.0.1/d", false],
  ["postgres://u@[::1]/d", false],
  ["postgres://u@localhost/d?host=/run/postgresql", false],
  ["postgres://u@localhost/d?host=db.example", true],
])("the way to %s is unprotected: %s", (url, expected) => {
  expect(isUnprotected(url)).toBe(expected);
});

test.each(["postgres://u:p@h", "postgres://h/d", "https://u:p@h/d", "u:p@h/d", "postgres:"])(
  "%s names no database",
  (url) => {
    expect(isPostgresUrl(url)).toBe(false);
  },
);
