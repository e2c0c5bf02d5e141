import { testEngine } from "./behaviour.ts";
import { REDIS } from "./engines.ts";

testEngine(REDIS);
