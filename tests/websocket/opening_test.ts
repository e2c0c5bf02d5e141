/** How a client's socket reaches its server, what it sends, and what it tells of a refusal. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { HandshakeError, ProxyError, WebSocket, type WebSocketOptions } from "../../mod.ts";
import { brought, developmentCertificates, Folder, serveRaw } from "../programs.ts";
import { HAS_UNIX_SOCKETS, onEachWay } from "../transport/ends.ts";
import { TestProxy } from "../transport/test_proxy.ts";
import { acceptSockets, closed, echo, next, opened } from "./peers.ts";
