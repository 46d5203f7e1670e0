import { differentialTests } from "./differential/suite.ts";

differentialTests("the engine", 6_000);
