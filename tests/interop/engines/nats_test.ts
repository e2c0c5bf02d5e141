import { testEngine } from "./behaviour.ts";
import { NATS } from "./engines.ts";

testEngine(NATS);
