import type { z } from "zod";
import type { EndpointSpec } from "./endpoint.ts";
import { contractEndpoints } from "./endpoints-contract.ts";
import { ownEndpoints } from "./endpoints-own.ts";

/** The whole API as data. */
export const endpoints = { ...contractEndpoints, ...ownEndpoints };

export type EndpointName = keyof typeof endpoints;
type Spec<N extends EndpointName> = (typeof endpoints)[N];
/** What a handler gets: undefined when the endpoint reads no body. */
export type RequestOf<N extends EndpointName> =
  Spec<N> extends EndpointSpec<infer R, z.ZodType> ? (z.ZodType extends R ? undefined : z.output<R>) : never;
/** What callers send. */
export type RequestInputOf<N extends EndpointName> =
  Spec<N> extends EndpointSpec<infer R, z.ZodType> ? (z.ZodType extends R ? undefined : z.input<R>) : never;
export type ResponseOf<N extends EndpointName> = Spec<N> extends EndpointSpec<z.ZodType, infer R> ? z.output<R> : never;
