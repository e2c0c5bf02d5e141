/**
 * One worker of `topic_workers.ts`.
 *
 * @module
 */

import { serve, upgradeWebSocket } from "../../mod.ts";
import { Topics, WorkersBackplane } from "../../topics.ts";
import { LOCAL } from "./server.ts";

/** What a worker is told. It answers with the port. */
export interface Start {
  cert: string;
  key: string;
  /** 0 for any. */
  port: number;
}

/** The worker's own global object. */
interface Scope {
  onmessage: (event: MessageEvent<Start>) => void;
  postMessage(port: number): void;
}

const scope = self as unknown as Scope;
const topics = new Topics({ backplane: new WorkersBackplane() });

scope.onmessage = ({ data: { cert, key, port } }) => {
  const options = { ...LOCAL, port, reusePort: true, cert, key, onListen() {} };
  const { addr } = serve(options, (request) => {
    const upgraded = upgradeWebSocket(request, { compression: false, idleTimeout: 0 });
    const { socket, response } = upgraded;
    socket.onopen = () => topics.subscribe(socket, "all");
    socket.onmessage = ({ data }) => void topics.publish("all", data);
    return response;
  });
  scope.postMessage(addr.port);
};
