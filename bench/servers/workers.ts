/**
 * This project's server in several workers: an echo, for as many as the last argument says.
 *
 * @module
 */

import { type LogOptions, openLog } from "../../cli/server/log.ts";
import { terminal } from "../../cli/output.ts";
import { Workers } from "../../cli/server/workers.ts";
import { announce, LOCAL, serverArguments } from "./server.ts";

const { cert, key } = serverArguments();
// The load generator cuts its connections off: nothing to report.
const log: LogOptions = { level: "fatal" as "error", format: "text", timestamps: false };
const workers = await Workers.start(
  {
    count: Number(Deno.args.at(-1)),
    listener: {
      host: LOCAL.hostname,
      port: 0,
      path: "/",
      origin: [],
      token: undefined,
      mode: "echo",
      reply: "",
      "max-rooms": 1,
      history: 0,
      backplane: undefined,
      compression: {},
      page: "off",
      "max-message-size": 2 ** 24,
      "max-connections": 10_000,
      "max-per-address": 10_000,
      "max-memory": 2 ** 27,
      "trust-proxy": [],
      "proxy-protocol": false,
      "idle-timeout": 0,
      grace: 1000,
    },
    log,
    language: "en",
  },
  { cert, key },
  openLog(log, terminal),
);
announce(workers);
